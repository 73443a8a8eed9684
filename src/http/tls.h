/* SPDX-License-Identifier: Apache-2.0 */
/** Certificates from files, for TLS 1.2 and 1.3, exchanged while serving. A connection keeps those it began with. */
#pragma once

#include <gnutls/gnutls.h>

#include "base/err.h"

struct ks_http_tls;
struct ks_http_credentials;

/** Reads the PEM files. client_ca may be NULL; with it, a client without a valid certificate of that authority gets no
 * further than the handshake. client_optional, without one: clients are asked for a certificate and need not have any;
 * that they hold its key is checked, who vouches for it is not. Paths are copied. KS_MALFORMED (*ret_problem: static text): a file cannot be read, or
 * key and certificate do not match. */
KS_MUST_USE enum ks_err ks_http_tls_new(const char *certificate, const char *key, const char *client_ca,
					bool client_optional, struct ks_http_tls **ret_tls, const char **ret_problem);

/** Takes NULL. Credentials in use live until they are released. */
void ks_http_tls_free(struct ks_http_tls **tls);

/** Reads the files again, for connections from now on; KS_MALFORMED, and nothing changed, where they are bad. Any
 * thread. */
KS_MUST_USE enum ks_err ks_http_tls_reload(struct ks_http_tls *tls);

/** Sets the credentials of now on a session that has not begun its handshake, and returns them: to be released once
 * the session is gone. NULL: GnuTLS refused, the session is useless. */
struct ks_http_credentials *ks_http_tls_attach(struct ks_http_tls *tls, gnutls_session_t session);

/** Takes NULL. Any thread. */
void ks_http_tls_release(struct ks_http_credentials *credentials);

/** For MHD_OPTION_HTTPS_PRIORITIES. */
extern const char ks_http_tls_priorities[];
