/* SPDX-License-Identifier: Apache-2.0 */
/** Platform files as the service has them: those that come with it, and the operator's own. */
#pragma once

#include "engine/engine.h"
#include "platform/platform.h"

/** The platforms in force, counted: give back with ks_platform_registry_release. Any thread. */
struct ks_platform_registry *ks_engine_platforms(struct ks_engine *engine);

/** Whether each scheme of the `webhook` parts can be compiled (hooksig/hooksig.h). KS_MALFORMED: *ret_problem names the
 * platform and, in its text, the place in the part as a JSON pointer (its line is not known any more). KS_MEMORY. Pure. */
KS_MUST_USE enum ks_err ks_platforms_check_webhooks(const struct ks_platform_registry *registry,
						    struct ks_platform_problem *ret_problem);

/** Reads all platform files anew; KS_MALFORMED (problem filled: file, line, what is wrong) and the old ones stay, all of
 * them. Any thread. */
KS_MUST_USE enum ks_err ks_engine_reload_platforms(struct ks_engine *engine, struct ks_engine_problem *ret_problem);
