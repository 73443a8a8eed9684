/* SPDX-License-Identifier: Apache-2.0 */
/** `keystile serve`: the engine, the API and the HTTP server put together, and the signals that steer them. */
#pragma once

#include "config/config.h"
#include "engine/engine.h"
#include "federation/federation.h"

/** What the settings say to the engine. Borrows from `config`. KS_MALFORMED with the text in *ret_problem. */
KS_MUST_USE enum ks_err ks_serve_engine_options(const struct ks_config *config, struct ks_engine_options *ret_options,
						struct ks_config_problem *ret_problem);

/** What they say of dealings with others. Borrows from `config`. KS_MALFORMED with the text in *ret_problem. */
KS_MUST_USE enum ks_err ks_serve_federation_options(const struct ks_config *config, struct ks_federation_options *ret_options,
						    struct ks_config_problem *ret_problem);

/** What the settings leave at its default, as the last service on the data directory had it: a command that acts on the store itself must write what
 * that service would have written, and leave the ring as it was made. KS_MALFORMED with the text in *ret_problem. */
KS_MUST_USE enum ks_err ks_serve_recall(struct ks_config *config, struct ks_config_problem *ret_problem);

/** The local socket of a data directory. False if the path is too long for one. */
KS_MUST_USE bool ks_serve_socket_path(const char *data_directory, char *ret_path, size_t cap);

/** Serves until SIGTERM or SIGINT; SIGHUP reloads the policy, the platform files, the settings that can change and the certificates. Returns the exit code. The caller has no
 * other threads. */
int ks_serve(const struct ks_config *config);
