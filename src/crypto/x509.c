/* SPDX-License-Identifier: Apache-2.0 */
#include "crypto/x509.h"

#include <openssl/err.h>
#include <openssl/rsa.h>
#include <openssl/x509v3.h>
#include <stdlib.h>

#include "base/addr.h"
#include "base/buf.h"
#include "base/ctenc.h"
#include "crypto/sign.h"

struct ks_x509 {
	X509 *x509;
};

struct ks_x509_trust {
	X509_STORE *store;
};

/* ---- PEM ---- */

/* `text` without blanks and line ends around it. */
static struct ks_str trim_lines(struct ks_str text)
{
	while (text.n > 0 && (text.p[0] == '\n' || text.p[0] == '\r' || text.p[0] == ' ' || text.p[0] == '\t'))
		text = ks_str_sub(text, 1, SIZE_MAX);
	while (text.n > 0 && (text.p[text.n - 1] == '\n' || text.p[text.n - 1] == '\r' || text.p[text.n - 1] == ' ' ||
			      text.p[text.n - 1] == '\t'))
		text.n--;
	return text;
}

/* Takes "-----<word> <label>-----" from the front (or, if `last`, from the end) of *text. */
static bool take_border(struct ks_str *text, struct ks_str word, struct ks_str label, bool last)
{
	char room[80];
	struct ks_buf border = KS_BUF(room);
	struct ks_str found;

	ks_buf_printf(&border, "-----%.*s %.*s-----", KS_STR_ARG(word), KS_STR_ARG(label));
	if (!ks_buf_ok(&border) || text->n < border.n)
		return false;
	found = ks_str_sub(*text, last ? text->n - border.n : 0, border.n);
	if (!ks_str_eq(found, ks_buf_str(&border)))
		return false;
	*text = last ? ks_str_sub(*text, 0, text->n - border.n) : ks_str_sub(*text, border.n, SIZE_MAX);
	return true;
}

bool ks_pem_take(struct ks_str text, struct ks_str label, unsigned char *ret_der, size_t cap, size_t *ret_n)
{
	char room[KS_X509_PEM_MAX];
	struct ks_buf digits = KS_BUF(room);

	text = trim_lines(text);
	if (text.n > KS_X509_PEM_MAX || !take_border(&text, KS_STR("BEGIN"), label, false) ||
	    !take_border(&text, KS_STR("END"), label, true))
		return false;
	for (size_t i = 0; i < text.n; i++)
		if (text.p[i] != '\n' && text.p[i] != '\r')
			ks_buf_put_byte(&digits, text.p[i]);
	return ks_buf_ok(&digits) && digits.n > 0 && ks_base64_decode(ks_buf_str(&digits), ret_der, cap, ret_n);
}

/* ---- one certificate ---- */

enum ks_err ks_x509_read(struct ks_str pem, struct ks_x509 **ret_cert)
{
	unsigned char der[KS_X509_PEM_MAX];
	const unsigned char *at = der;
	struct ks_x509 *cert;
	size_t n;

	if (!ks_pem_take(pem, KS_STR("CERTIFICATE"), der, sizeof(der), &n))
		return KS_MALFORMED;
	cert = calloc(1, sizeof(*cert));
	if (!cert)
		return KS_MEMORY;
	cert->x509 = d2i_X509(NULL, &at, (long)n);
	ERR_clear_error();
	if (!cert->x509 || at != &der[n]) {
		ks_x509_free(cert);
		return KS_MALFORMED;
	}
	*ret_cert = cert;
	return KS_OK;
}

void ks_x509_free(struct ks_x509 *cert)
{
	if (!cert)
		return;
	X509_free(cert->x509);
	free(cert);
}

enum ks_err ks_x509_spki_sha256(const struct ks_x509 *cert, unsigned char ret_digest[32])
{
	unsigned char *der = NULL, digest[EVP_MAX_MD_SIZE];
	int n = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(cert->x509), &der);
	unsigned digest_n = 0;
	bool ok = n > 0 && EVP_Digest(der, (size_t)n, digest, &digest_n, EVP_sha256(), NULL) == 1 && digest_n == 32;

	OPENSSL_free(der);
	if (!ok)
		return KS_CRYPTO;
	memcpy(ret_digest, digest, 32);
	return KS_OK;
}

static struct ks_str asn1_text(const ASN1_STRING *string)
{
	return ks_str_of((const char *)ASN1_STRING_get0_data(string), (size_t)ASN1_STRING_length(string));
}

static bool dns_is(const GENERAL_NAME *name, struct ks_str value)
{
	return ks_str_eq_nocase(asn1_text(name->d.dNSName), value);
}

static bool uri_is(const GENERAL_NAME *name, struct ks_str value)
{
	return ks_str_eq(asn1_text(name->d.uniformResourceIdentifier), value);
}

static bool ip_is(const GENERAL_NAME *name, struct ks_str value)
{
	static const struct ks_cidr v4 = {{{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff}}, 96};
	struct ks_str bytes = asn1_text(name->d.iPAddress);
	struct ks_addr wanted;
	size_t n;

	if (!ks_addr_parse(value, &wanted))
		return false;
	n = ks_cidr_has(&v4, &wanted) ? 4 : 16; /* IPv4 stands at the end of its mapped form */
	return ks_str_eq(bytes, ks_str_of((const char *)&wanted.bytes[16 - n], n));
}

bool ks_x509_has_name(const struct ks_x509 *cert, struct ks_str kind, struct ks_str value)
{
	static const struct {
		const char *kind;
		int type;
		bool (*is)(const GENERAL_NAME *name, struct ks_str value);
	} kinds[] = {{"DNS", GEN_DNS, dns_is}, {"URI", GEN_URI, uri_is}, {"IP", GEN_IPADD, ip_is}};
	GENERAL_NAMES *names = X509_get_ext_d2i(cert->x509, NID_subject_alt_name, NULL, NULL);
	bool found = false;

	for (int i = 0; names && !found && i < sk_GENERAL_NAME_num(names); i++) {
		const GENERAL_NAME *name = sk_GENERAL_NAME_value(names, i);

		for (size_t k = 0; k < KS_ARRAY_LEN(kinds); k++)
			if (name->type == kinds[k].type && ks_str_eq(kind, ks_str_c(kinds[k].kind)))
				found |= kinds[k].is(name, value);
	}
	GENERAL_NAMES_free(names);
	ERR_clear_error();
	return found;
}

bool ks_x509_signed(const struct ks_x509 *cert, enum ks_hasher_alg alg, struct ks_str digest, struct ks_str signature)
{
	static const EVP_MD *(*const digests[KS_HASHER_COUNT])(void) = {EVP_md5, EVP_sha1, EVP_sha256, EVP_sha384, EVP_sha512};
	EVP_PKEY *pkey = X509_get0_pubkey(cert->x509);
	EVP_PKEY_CTX *context = NULL;
	bool ok;

	if (pkey && EVP_PKEY_get_base_id(pkey) == EVP_PKEY_RSA && EVP_PKEY_get_bits(pkey) >= KS_KEY_RSA_BITS_MIN &&
	    EVP_PKEY_get_bits(pkey) <= KS_KEY_RSA_BITS_MAX && digest.n == ks_hasher_size(alg))
		context = EVP_PKEY_CTX_new(pkey, NULL);
	ok = context && EVP_PKEY_verify_init(context) == 1 &&
	     EVP_PKEY_CTX_set_rsa_padding(context, RSA_PKCS1_PADDING) == 1 &&
	     EVP_PKEY_CTX_set_signature_md(context, digests[alg]()) == 1 &&
	     EVP_PKEY_verify(context, (const unsigned char *)signature.p, signature.n, (const unsigned char *)digest.p,
			     digest.n) == 1;
	EVP_PKEY_CTX_free(context);
	ERR_clear_error();
	return ok;
}

/* ---- chains ---- */

enum ks_err ks_x509_trust_new(struct ks_x509_trust **ret_trust)
{
	struct ks_x509_trust *trust = calloc(1, sizeof(*trust));

	if (!trust)
		return KS_MEMORY;
	trust->store = X509_STORE_new();
	if (!trust->store) {
		free(trust);
		return KS_MEMORY;
	}
	*ret_trust = trust;
	return KS_OK;
}

void ks_x509_trust_free(struct ks_x509_trust *trust)
{
	if (!trust)
		return;
	X509_STORE_free(trust->store);
	free(trust);
}

enum ks_err ks_x509_trust_add(struct ks_x509_trust *trust, const struct ks_x509 *cert)
{
	int ok = X509_STORE_add_cert(trust->store, cert->x509);

	ERR_clear_error();
	return ok == 1 ? KS_OK : KS_MEMORY;
}

static STACK_OF(X509) *stack_of(struct ks_x509 *const *chain, size_t n)
{
	STACK_OF(X509) *stack = sk_X509_new_null();

	for (size_t i = 1; stack && i < n; i++)
		if (sk_X509_push(stack, chain[i]->x509) <= 0) {
			sk_X509_free(stack);
			return NULL;
		}
	return stack;
}

bool ks_x509_chains(const struct ks_x509_trust *trust, struct ks_x509 *const *chain, size_t n, bool client,
		    int64_t now_s)
{
	X509_STORE_CTX *context;
	STACK_OF(X509) *others;
	bool ok = false;

	if (n == 0 || n > KS_X509_CHAIN_MAX)
		return false;
	context = X509_STORE_CTX_new();
	others = stack_of(chain, n);
	if (context && others && X509_STORE_CTX_init(context, trust->store, chain[0]->x509, others) == 1) {
		X509_STORE_CTX_set_time(context, 0, (time_t)now_s);
		ok = (!client || X509_STORE_CTX_set_purpose(context, X509_PURPOSE_SSL_CLIENT) == 1) &&
		     X509_verify_cert(context) == 1;
	}
	sk_X509_free(others);
	X509_STORE_CTX_free(context);
	ERR_clear_error();
	return ok;
}
