/* SPDX-License-Identifier: Apache-2.0 */
/** What the readers of signed tokens share. */
#pragma once

#include "jose/jws.h"

/** All of ks_jws_parse but the choice among algorithms: *ret_alg is the name in the header, borrowed as the struct's
 * texts are. */
KS_MUST_USE enum ks_jose_problem ks_jws_take_apart(struct ks_str token, struct ks_jws *ret_jws, struct ks_str *ret_alg);

/** Why an algorithm of this name is not one of those that were asked for. */
enum ks_jose_problem ks_jws_alg_problem(struct ks_str alg);

/** What the failure of a call of crypto means here; `refused` where it says that the thing is not as it should be. */
enum ks_jose_problem ks_jose_problem_of(enum ks_err err, enum ks_jose_problem refused);
