/* SPDX-License-Identifier: Apache-2.0 */
/* GET and POST /intake/{token}: the page of an intake link. The token is the whole of the credential, so there is no
 * session, no cookie, and nothing that another site could make a browser send along. It stands in the request's path
 * alone. */
#include "api/intake.h"

#include <stdlib.h>

#include "api/api_priv.h"
#include "api/login.h"
#include "engine/platforms.h"
#include "multipart/multipart.h"

/* ---- the request's own ---- */

static void drop(struct ks_call *call)
{
	struct ks_intake *intake = call->extra;

	if (!intake)
		return;
	ks_secret_free(&intake->value);
	ks_vault_prepared_free(&intake->prepared);
	ks_platform_registry_release(&intake->registry);
	free(intake);
}

static enum ks_finish fail(struct ks_call *call, enum ks_err err)
{
	const struct ks_problem_info *info = ks_problem_info(ks_problem_of_err(err));

	return ks_intake_say(call, info->status < 500 ? 500 : info->status, "That did not work.",
			     "The service cannot take the value at the moment, and nothing was taken. Try again in a "
			     "while: the link stays as it is.");
}

/* The open link and its field. False: answered. */
static bool find(struct ks_call *call, struct ks_intake *intake)
{
	const struct ks_ring *ring = ks_call_ring(call);
	enum ks_err err = KS_NOT_FOUND;

	if (!ring)
		err = KS_STORE;
	else if (ks_link_digest(call->params[0], &intake->digest))
		err = ks_link_look(call->reader->store, ring, &intake->digest, call->exchange->now_ms, &intake->link);
	if (err == KS_OK) {
		intake->registry = ks_engine_platforms(call->api->engine);
		intake->platform = ks_platform_find(intake->registry, ks_str_c(intake->link.platform));
		if (intake->platform)
			intake->field = ks_platform_field(intake->platform, ks_str_c(intake->link.field));
		/* A file that went away takes its fields with it. */
		if (!intake->field)
			err = KS_NOT_FOUND;
	}
	if (err == KS_OK)
		return true;
	(void)(err == KS_NOT_FOUND ? ks_intake_gone(call) : fail(call, err));
	return false;
}

/* Who asks for what is not open, or enters what is not taken, too often. False: answered. */
static bool admit(struct ks_call *call)
{
	int64_t wait_ms = ks_throttle_link(call);

	if (wait_ms == 0)
		return true;
	ks_exchange_number_header(call->exchange, KS_STR("Retry-After"), (uint64_t)(wait_ms + 999) / 1000);
	(void)ks_intake_say(call, 429, "Too many attempts.",
			    "From where you are, too many links were tried that are not open. Wait a minute and try again: "
			    "the link stays as it is.");
	return false;
}

/* *ret_intake NULL: answered. */
static enum ks_finish open_link(struct ks_call *call, struct ks_intake **ret_intake)
{
	struct ks_intake *intake = calloc(1, sizeof(*intake));

	*ret_intake = NULL;
	call->wipe = true;
	if (!intake)
		return ks_call_problem(call, KS_PROBLEM_INTERNAL, NULL);
	call->extra = intake;
	call->drop = drop;
	ks_call_address(call, intake->address);
	if (admit(call) && find(call, intake)) {
		ks_throttle_link_right(call);
		*ret_intake = intake;
	}
	return KS_FINISH_DONE;
}

/* Whatever a mail program or a tracker has added to the address behind the path does not matter. */
enum ks_finish ks_api_intake_show(struct ks_call *call)
{
	struct ks_intake *intake;
	enum ks_finish answered = open_link(call, &intake);

	return intake ? ks_intake_form(call, intake) : answered;
}

/* ---- the form ---- */

/* What the form's controls hold, borrowed from the body or from `room`. */
struct form {
	struct ks_str text, file;
	struct ks_secret room;
};

static bool take_part(const struct ks_multipart_part *parts, size_t count, struct ks_str name, struct ks_str *ret_value)
{
	const struct ks_multipart_part *part;

	if (!ks_multipart_find(parts, count, name, &part))
		return false;
	*ret_value = part ? part->value : KS_STR("");
	return true;
}

static bool read_parts(const struct ks_exchange *x, struct ks_str boundary, struct form *form)
{
	struct ks_multipart_part parts[KS_MULTIPART_PARTS_MAX];
	size_t count;

	return ks_multipart_read(x->body, boundary, parts, &count)
	       && take_part(parts, count, KS_STR("value"), &form->text)
	       && take_part(parts, count, KS_STR("file"), &form->file);
}

static enum ks_err read_urlencoded(const struct ks_exchange *x, struct form *form)
{
	enum ks_form found;

	if (ks_str_empty(x->body))
		return KS_OK;
	KS_TRY(ks_secret_new(&form->room, x->body.n));
	found = ks_form_get_bytes(x->body, "value", (char *)form->room.bytes, form->room.cap, &form->text);
	return found == KS_FORM_FOUND || found == KS_FORM_ABSENT ? KS_OK : KS_MALFORMED;
}

static bool is_urlencoded(struct ks_str type)
{
	struct ks_str rest;

	if (!ks_str_split(type, ';', &type, &rest))
		rest = KS_STR("");
	return ks_str_eq_nocase(ks_str_trim(type), KS_STR("application/x-www-form-urlencoded"));
}

/* KS_VERSION: another media type. */
static enum ks_err read_form(const struct ks_exchange *x, struct form *form)
{
	struct ks_str type = ks_exchange_header(x, KS_STR("Content-Type"), NULL), boundary;

	if (is_urlencoded(type))
		return read_urlencoded(x, form);
	if (!ks_multipart_boundary(type, &boundary))
		return KS_VERSION;
	return read_parts(x, boundary, form) ? KS_OK : KS_MALFORMED;
}

static bool has_lines(enum ks_platform_type type)
{
	return type == KS_PLATFORM_MULTI_LINE || type == KS_PLATFORM_FILE || type == KS_PLATFORM_NETWORKS;
}

/* As it was entered; of texts with lines, each ends in a line feed, however the browser or the file's system writes
 * that, and the mark that some editors begin a file with is left out. */
static enum ks_err keep_value(struct ks_intake *intake, struct ks_str from)
{
	struct ks_secret *value = &intake->value;
	bool lines = has_lines(intake->field->type);

	if (lines && ks_str_starts(from, KS_STR("\xef\xbb\xbf")))
		from = ks_str_sub(from, 3, SIZE_MAX);
	KS_TRY(ks_secret_new(value, KS_MAX(from.n, (size_t)1)));
	for (size_t i = 0; i < from.n; i++) {
		if (lines && from.p[i] == '\r' && i + 1 < from.n && from.p[i + 1] == '\n')
			continue;
		value->bytes[value->n++] = (unsigned char)from.p[i];
	}
	return KS_OK;
}

static struct ks_str value_of(const struct ks_intake *intake)
{
	return ks_str_of((const char *)intake->value.bytes, intake->value.n);
}

/* Reads the value that was entered, and what is wrong with it. */
static enum ks_err read_value(const struct ks_exchange *x, struct ks_intake *intake)
{
	struct form form = {.text = KS_STR(""), .file = KS_STR("")};
	struct ks_buf fault = KS_BUF(intake->fault.text);
	enum ks_err err = read_form(x, &form);

	if (err == KS_OK)
		err = keep_value(intake, ks_str_empty(form.file) ? form.text : form.file);
	if (err == KS_OK && intake->value.n == 0) {
		ks_buf_put_c(&fault, intake->field->label);
		ks_buf_put_c(&fault, " was left empty.");
	} else if (err == KS_OK && !ks_str_empty(form.file) && !ks_str_empty(form.text)) {
		ks_buf_put_c(&fault, "There was a file and a text. Give one of the two.");
	} else if (err == KS_OK && value_of(intake).n > KS_VAULT_VALUE_MAX) {
		ks_buf_put_c(&fault, intake->field->label);
		ks_buf_printf(&fault, " has at most %u bytes.", (unsigned)KS_VAULT_VALUE_MAX);
	}
	(void)ks_buf_z(&fault);
	if (err == KS_OK && intake->fault.text[0] == '\0'
	    && ks_platform_check_value(intake->field, value_of(intake), &intake->fault))
		intake->fault.text[0] = '\0';
	ks_secret_free(&form.room);
	return err;
}

/* ---- changes ---- */

static struct ks_link_submission submission_of(const struct ks_call *call)
{
	const struct ks_intake *intake = call->extra;

	return (struct ks_link_submission){
		.digest = &intake->digest,
		.address = ks_str_c(intake->address),
		.request_id = ks_str_c(call->exchange->request_id),
	};
}

static enum ks_err run_attempt(struct ks_job *job, struct ks_tx *tx)
{
	struct ks_call *call = job->ctx;
	struct ks_intake *intake = call->extra;
	struct ks_link_submission submission = submission_of(call);

	return ks_links_attempt(tx, &submission, &intake->left, &job->refusal);
}

static enum ks_err run_use(struct ks_job *job, struct ks_tx *tx)
{
	struct ks_call *call = job->ctx;
	const struct ks_intake *intake = call->extra;
	struct ks_link_submission submission = submission_of(call);

	return ks_links_use(tx, &submission, intake->prepared, &job->refusal);
}

/* What was undone in the store was not taken; only after a failure of the store itself nobody can say. */
static enum ks_finish answer_failure(struct ks_call *call, enum ks_err err)
{
	if (err == KS_NOT_FOUND)
		return ks_intake_gone(call);
	if (err == KS_STORE || err == KS_CORRUPT)
		return ks_intake_say(call, 503, "That did not work.",
				     "The service could not say whether it has the value. Open the link again: if it "
				     "still asks for the value, enter it; if not, it was taken.");
	return fail(call, err);
}

static void attempt_done(struct ks_job *job)
{
	struct ks_call *call = job->ctx;
	const struct ks_intake *intake = call->extra;

	if (job->err != KS_OK)
		(void)answer_failure(call, job->err);
	else if (intake->left == 0)
		(void)ks_intake_gone(call);
	else
		(void)ks_intake_form(call, intake);
	ks_exchange_complete(call->exchange);
}

static void use_done(struct ks_job *job)
{
	struct ks_call *call = job->ctx;

	(void)(job->err == KS_OK ? ks_intake_thanks(call, call->extra) : answer_failure(call, job->err));
	ks_exchange_complete(call->exchange);
}

static enum ks_finish submit(struct ks_call *call, enum ks_err (*run)(struct ks_job *job, struct ks_tx *tx),
			     void (*done)(struct ks_job *job))
{
	enum ks_err err;

	call->job = (struct ks_job){.run = run, .done = done, .ctx = call};
	err = ks_engine_submit(call->api->engine, &call->job);
	return err == KS_OK ? KS_FINISH_PENDING : fail(call, err);
}

/* Seals the value, on a thread that may wait for that. */
static enum ks_finish prepare(struct ks_call *call)
{
	struct ks_intake *intake = call->extra;
	struct ks_link_submission submission = submission_of(call);
	struct ks_refusal refusal = {.code = NULL};
	struct ks_actor actor;
	struct ks_buf fault = KS_BUF(intake->fault.text);
	enum ks_err err;

	ks_link_actor(intake->link.id, &submission, &actor);
	err = ks_vault_prepare(call->api->engine, &actor, &(struct ks_vault_writing){
		.provider = intake->link.provider,
		.field = ks_str_c(intake->link.field),
		.kind = KS_FIELD_KIND_HELD,
		.text = value_of(intake),
	}, &intake->prepared, &refusal);
	ks_secret_free(&intake->value);
	if (err == KS_OK)
		return submit(call, run_use, use_done);
	/* The platform's file was changed in the meantime. */
	if (err == KS_MALFORMED && refusal.detail[0]) {
		ks_buf_put_c(&fault, refusal.detail);
		(void)ks_buf_z(&fault);
		return submit(call, run_attempt, attempt_done);
	}
	return answer_failure(call, err);
}

/* Browsers say where a request comes from; a form that stands on another site's page is not ours. */
static bool is_from_elsewhere(const struct ks_exchange *x)
{
	struct ks_str site = ks_exchange_header(x, KS_STR("Sec-Fetch-Site"), NULL);

	return !ks_str_empty(site) && !ks_str_eq(site, KS_STR("same-origin")) && !ks_str_eq(site, KS_STR("none"));
}

enum ks_finish ks_api_intake_submit(struct ks_call *call)
{
	struct ks_intake *intake;
	enum ks_finish answered = open_link(call, &intake);
	enum ks_err err;

	if (!intake)
		return answered;
	if (is_from_elsewhere(call->exchange))
		return ks_intake_say(call, 403, "This came from another page.",
				     "Open the link itself and enter the value there. Nothing was taken.");
	err = read_value(call->exchange, intake);
	if (err == KS_VERSION)
		return ks_intake_say(call, 415, "This is not the form.",
				     "The value is taken from this page's form, as multipart/form-data or "
				     "application/x-www-form-urlencoded, in the field named value. Nothing was taken.");
	if (err == KS_MALFORMED)
		return ks_intake_say(call, 400, "The form did not arrive whole.",
				     "Open the link again and enter the value once more. Nothing was taken.");
	if (err != KS_OK)
		return fail(call, err);
	if (intake->fault.text[0])
		return admit(call) ? submit(call, run_attempt, attempt_done) : KS_FINISH_DONE;
	return ks_call_vault(call, prepare);
}
