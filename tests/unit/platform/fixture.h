/* SPDX-License-Identifier: Apache-2.0 */
/* Platforms made of text, for tests. */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "platform/probe.h"

/* The platform of `yaml`, which must be good; the caller releases *ret_registry. */
static inline const struct ks_platform *platform_of(const char *yaml, struct ks_platform_registry **ret_registry)
{
	const struct ks_platform_source source = {"", ks_str_c(yaml), false};
	struct ks_platform_problem problem = {0};
	enum ks_err err = ks_platform_registry_new(&source, 1, ret_registry, &problem);

	if (err != KS_OK)
		fail_msg("%u:%u: %s", problem.line, problem.column, problem.text);
	assert_int_equal(ks_platform_count(*ret_registry), 1);
	return ks_platform_at(*ret_registry, 0);
}

#define HEAD "version: 1\nname: acme\nlabel: Acme\nabout: An account of Acme.\n"
