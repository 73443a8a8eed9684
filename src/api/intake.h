/* SPDX-License-Identifier: Apache-2.0 */
/** The page of an intake link: what intake.c (requests) and intake_page.c (their answers) share. */
#pragma once

#include "api/call.h"
#include "engine/links.h"
#include "engine/vault.h"
#include "platform/platform.h"

/** A request for the page of a link. The call's `extra`. */
struct ks_intake {
	struct ks_digest digest;          /* of the token */
	struct ks_link_seen link;         /* the open link */
	struct ks_platform_registry *registry;
	const struct ks_platform *platform;
	const struct ks_platform_field *field;
	struct ks_secret value;           /* as it will be written */
	struct ks_vault_prepared *prepared;
	struct ks_platform_detail fault;  /* why the value was not taken; empty: nothing is wrong */
	uint64_t left;                    /* attempts, after a fault */
	char address[KS_ADDR_TEXT_SIZE];
};

/** How requests for pages end. X(name, label) */
#define KS_INTAKES(X)          \
	X(SHOWN, "shown")      \
	X(TAKEN, "taken")      \
	X(REFUSED, "refused")  \
	X(GONE, "gone")

enum ks_intake_outcome {
#define X(name, label) KS_INTAKE_##name,
	KS_INTAKES(X)
#undef X
	KS_INTAKE_COUNT
};
/** Counts one; the sum. Any thread. */
void ks_intake_count(enum ks_intake_outcome outcome);
uint64_t ks_intake_counted(enum ks_intake_outcome outcome);

/** The form: 200, or 422 where there is a fault to tell. Never holds a value. */
enum ks_finish ks_intake_form(struct ks_call *call, const struct ks_intake *intake);
/** The value was taken. */
enum ks_finish ks_intake_thanks(struct ks_call *call, const struct ks_intake *intake);
/** 410, the same whatever the link was. */
enum ks_finish ks_intake_gone(struct ks_call *call);
/** Something else is wrong: with the request, or with us. */
enum ks_finish ks_intake_say(struct ks_call *call, int status, const char *title, const char *text);
