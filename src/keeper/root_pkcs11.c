/* SPDX-License-Identifier: Apache-2.0 */
/* The root that is a key in a PKCS#11 token: AES-256, not to be extracted; it wraps by CKM_AES_GCM within the token (PKCS#11 v3.0,
 * 2.10). The module is loaded and logged in to before the sandbox; afterwards it may read its own files (the setting
 * names them) and nothing else. */
#include <dlfcn.h>
#include <p11-kit/pkcs11.h>

#include "crypto/random.h"
#include "crypto/sha256.h"
#include "keeper/child_priv.h"

#define KIND_PKCS11 3
#define PIN_MIN 4
#define PIN_MAX 256
#define SLOTS_MAX 64
#define TAG_BITS 128
#define WRAPPED_SIZE (KS_SEAL_NONCE_SIZE + KS_SEAL_KEY_SIZE + KS_SEAL_TAG_SIZE)

/* One token for the process: the second root, if there is one, is another key of it. */
static struct {
	CK_FUNCTION_LIST *f;
	CK_SESSION_HANDLE session;
	char serial[sizeof(((CK_TOKEN_INFO *)NULL)->serialNumber)];
} token;

static CK_BBOOL yes = CK_TRUE, no = CK_FALSE;

/* ---- the module and its token ---- */

static enum ks_err load(const char *path, struct ks_child_problem *problem)
{
	CK_RV (*get)(CK_FUNCTION_LIST **list);
	void *module = dlopen(path, RTLD_NOW | RTLD_LOCAL);
	void *symbol = module ? dlsym(module, "C_GetFunctionList") : NULL;

	if (!symbol)
		return ks_child_problem(problem, KS_NOT_FOUND, "vault.pkcs11_module: %s is no PKCS#11 module that can be loaded", path);
	memcpy(&get, &symbol, sizeof(get));
	if (get(&token.f) != CKR_OK || token.f->C_Initialize(NULL) != CKR_OK) {
		token.f = NULL;
		return ks_child_problem(problem, KS_KMS, "%s does not initialize", path);
	}
	return KS_OK;
}

/* Labels are padded with blanks. */
static bool is_label(const CK_UTF8CHAR *label, size_t n, struct ks_str wanted)
{
	while (n > 0 && label[n - 1] == ' ')
		n--;
	return ks_str_eq(ks_str_of((const char *)label, n), wanted);
}

static enum ks_err find_slot(struct ks_str label, CK_SLOT_ID *ret_slot, struct ks_child_problem *problem)
{
	CK_SLOT_ID slots[SLOTS_MAX];
	CK_ULONG n = SLOTS_MAX;

	if (token.f->C_GetSlotList(CK_TRUE, slots, &n) != CKR_OK)
		return ks_child_problem(problem, KS_KMS, "the PKCS#11 module does not list its slots");
	for (CK_ULONG i = 0; i < n; i++) {
		CK_TOKEN_INFO info;

		if (token.f->C_GetTokenInfo(slots[i], &info) != CKR_OK || !is_label(info.label, sizeof(info.label), label))
			continue;
		memcpy(token.serial, info.serialNumber, sizeof(token.serial));
		*ret_slot = slots[i];
		return KS_OK;
	}
	return ks_child_problem(problem, KS_NOT_FOUND, "vault.pkcs11_token: there is no token \"%.*s\"", KS_STR_ARG(label));
}

static enum ks_err log_in(CK_SLOT_ID slot, const char *pin_file, struct ks_child_problem *problem)
{
	KS_AUTO(ks_secret_free) struct ks_secret pin = {0};
	CK_RV rv;

	KS_TRY(ks_secret_new(&pin, PIN_MAX + 2));
	KS_TRY(ks_child_read_secret(pin_file, PIN_MIN, PIN_MAX, &pin, problem));
	if (token.f->C_OpenSession(slot, CKF_SERIAL_SESSION | CKF_RW_SESSION, NULL, NULL, &token.session) != CKR_OK)
		return ks_child_problem(problem, KS_KMS, "the PKCS#11 token gives no session");
	rv = token.f->C_Login(token.session, CKU_USER, pin.bytes, pin.n);
	if (rv == CKR_OK)
		return KS_OK;
	return ks_child_problem(problem, rv == CKR_PIN_INCORRECT || rv == CKR_PIN_LOCKED ? KS_FORBIDDEN : KS_KMS,
				"the PKCS#11 token does not let us in (0x%lx); the PIN is in %s", (unsigned long)rv, pin_file);
}

/* ---- the key ---- */

static enum ks_err find_key(struct ks_str label, CK_OBJECT_HANDLE *ret_key)
{
	CK_OBJECT_CLASS class = CKO_SECRET_KEY;
	CK_KEY_TYPE type = CKK_AES;
	char text[128];
	CK_ATTRIBUTE wanted[] = {{CKA_CLASS, &class, sizeof(class)}, {CKA_KEY_TYPE, &type, sizeof(type)}, {CKA_LABEL, text, label.n}};
	CK_OBJECT_HANDLE found[2];
	CK_ULONG n = 0;

	if (label.n > sizeof(text))
		return KS_TOO_LARGE;
	memcpy(text, label.p, label.n);
	if (token.f->C_FindObjectsInit(token.session, wanted, KS_ARRAY_LEN(wanted)) != CKR_OK)
		return KS_KMS;
	if (token.f->C_FindObjects(token.session, found, 2, &n) != CKR_OK)
		n = 0;
	(void)token.f->C_FindObjectsFinal(token.session);
	if (n != 1)
		return n == 0 ? KS_NOT_FOUND : KS_CONFLICT;
	*ret_key = found[0];
	return KS_OK;
}

static enum ks_err make_key(struct ks_str label, CK_OBJECT_HANDLE *ret_key)
{
	CK_OBJECT_CLASS class = CKO_SECRET_KEY;
	CK_KEY_TYPE type = CKK_AES;
	CK_ULONG size = KS_SEAL_KEY_SIZE;
	char text[128];
	CK_ATTRIBUTE key[] = {
		{CKA_CLASS, &class, sizeof(class)}, {CKA_KEY_TYPE, &type, sizeof(type)},  {CKA_VALUE_LEN, &size, sizeof(size)},
		{CKA_TOKEN, &yes, sizeof(yes)},     {CKA_PRIVATE, &yes, sizeof(yes)},     {CKA_SENSITIVE, &yes, sizeof(yes)},
		{CKA_EXTRACTABLE, &no, sizeof(no)}, {CKA_ENCRYPT, &yes, sizeof(yes)},     {CKA_DECRYPT, &yes, sizeof(yes)},
		{CKA_LABEL, text, label.n},
	};
	CK_MECHANISM how = {CKM_AES_KEY_GEN, NULL, 0};

	memcpy(text, label.p, label.n);
	return token.f->C_GenerateKey(token.session, &how, key, KS_ARRAY_LEN(key), ret_key) == CKR_OK ? KS_OK : KS_KMS;
}

/* A key that could be read out protects nothing. */
static enum ks_err check_key(CK_OBJECT_HANDLE key, struct ks_str label, struct ks_child_problem *problem)
{
	CK_BBOOL sensitive = CK_FALSE, extractable = CK_TRUE;
	CK_ATTRIBUTE of[] = {{CKA_SENSITIVE, &sensitive, sizeof(sensitive)}, {CKA_EXTRACTABLE, &extractable, sizeof(extractable)}};

	if (token.f->C_GetAttributeValue(token.session, key, of, KS_ARRAY_LEN(of)) != CKR_OK || !sensitive || extractable)
		return ks_child_problem(problem, KS_FORBIDDEN, "the key \"%.*s\" of the PKCS#11 token can be extracted",
					KS_STR_ARG(label));
	return KS_OK;
}

static enum ks_err name_root(struct ks_root *root, struct ks_str label)
{
	char text[256];
	struct ks_buf b = KS_BUF(text), shown = KS_BUF(root->label);
	struct ks_digest digest;

	ks_buf_put(&b, ks_str_of(token.serial, sizeof(token.serial)));
	ks_buf_put(&b, label);
	KS_TRY(ks_sha256(ks_buf_str(&b), &digest));
	memcpy(root->id, digest.bytes, sizeof(root->id));
	ks_buf_put_c(&shown, "pkcs11 ");
	ks_buf_put_hex(&shown, root->id, sizeof(root->id));
	(void)ks_buf_z(&shown);
	return KS_OK;
}

static enum ks_err open_token(const struct ks_child_settings *settings, struct ks_child_problem *problem)
{
	CK_SLOT_ID slot = 0;

	if (token.f)
		return KS_OK;
	KS_TRY(load(settings->pkcs11_module, problem));
	KS_TRY(find_slot(ks_str_c(settings->pkcs11_token), &slot, problem));
	return log_in(slot, settings->pin_file, problem);
}

static enum ks_err open_pkcs11(struct ks_root *root, const struct ks_child_settings *settings,
			       struct ks_child_problem *problem)
{
	struct ks_str label = ks_str_c(settings->pkcs11_key);
	CK_OBJECT_HANDLE key = 0;
	enum ks_err err;

	KS_TRY(open_token(settings, problem));
	err = find_key(label, &key);
	/* A root that is new to this store may make its key; nothing is lost where it finds one. */
	if (err == KS_NOT_FOUND && settings->may_create[0])
		err = make_key(label, &key);
	if (err == KS_NOT_FOUND)
		return ks_child_problem(problem, err, "vault.pkcs11_key: the PKCS#11 token has no AES key \"%.*s\"", KS_STR_ARG(label));
	if (err != KS_OK)
		return ks_child_problem(problem, err, "vault.pkcs11_key: \"%.*s\" cannot be had, or is there twice",
					KS_STR_ARG(label));
	KS_TRY(check_key(key, label, problem));
	root->handle = key;
	return name_root(root, label);
}

/* ---- wrapping ---- */

static enum ks_err err_of(CK_RV rv)
{
	static const CK_RV altered[] = {CKR_GENERAL_ERROR, CKR_ENCRYPTED_DATA_INVALID, CKR_ENCRYPTED_DATA_LEN_RANGE};

	for (size_t i = 0; i < KS_ARRAY_LEN(altered); i++) {
		if (rv == altered[i])
			return KS_CORRUPT;
	}
	return rv == CKR_OK ? KS_OK : KS_KMS;
}

static enum ks_err wrap(struct ks_root *root, struct ks_worker *w, struct ks_str associated,
			const uint8_t key[KS_SEAL_KEY_SIZE], struct ks_buf *out)
{
	uint8_t nonce[KS_SEAL_NONCE_SIZE], plain[KS_SEAL_KEY_SIZE], sealed[WRAPPED_SIZE];
	uint8_t about[128];
	CK_GCM_PARAMS gcm = {nonce, sizeof(nonce), 8 * sizeof(nonce), about, associated.n, TAG_BITS};
	CK_MECHANISM how = {CKM_AES_GCM, &gcm, sizeof(gcm)};
	CK_ULONG n = sizeof(sealed);
	CK_RV rv;

	(void)w;
	if (associated.n > sizeof(about))
		return KS_TOO_LARGE;
	memcpy(about, associated.p, associated.n);
	KS_TRY(ks_random(nonce, sizeof(nonce)));
	memcpy(plain, key, sizeof(plain));
	rv = token.f->C_EncryptInit(token.session, &how, root->handle);
	if (rv == CKR_OK)
		rv = token.f->C_Encrypt(token.session, plain, sizeof(plain), sealed, &n);
	ks_wipe(plain, sizeof(plain));
	if (rv != CKR_OK || n != KS_SEAL_KEY_SIZE + KS_SEAL_TAG_SIZE)
		return KS_KMS;
	ks_buf_put(out, ks_str_of((const char *)nonce, sizeof(nonce)));
	ks_buf_put(out, ks_str_of((const char *)sealed, n));
	return KS_OK;
}

static enum ks_err unwrap(struct ks_root *root, struct ks_worker *w, struct ks_str associated, struct ks_str wrapped,
			  uint8_t ret_key[KS_SEAL_KEY_SIZE])
{
	uint8_t nonce[KS_SEAL_NONCE_SIZE], sealed[WRAPPED_SIZE], plain[WRAPPED_SIZE], about[128];
	CK_GCM_PARAMS gcm = {nonce, sizeof(nonce), 8 * sizeof(nonce), about, associated.n, TAG_BITS};
	CK_MECHANISM how = {CKM_AES_GCM, &gcm, sizeof(gcm)};
	CK_ULONG n = sizeof(plain);
	struct ks_str text = ks_str_sub(wrapped, KS_SEAL_NONCE_SIZE, wrapped.n);
	CK_RV rv;

	(void)w;
	if (wrapped.n != WRAPPED_SIZE || associated.n > sizeof(about))
		return KS_CORRUPT;
	memcpy(about, associated.p, associated.n);
	memcpy(nonce, wrapped.p, sizeof(nonce));
	memcpy(sealed, text.p, text.n);
	rv = token.f->C_DecryptInit(token.session, &how, root->handle);
	if (rv == CKR_OK)
		rv = token.f->C_Decrypt(token.session, sealed, text.n, plain, &n);
	if (rv == CKR_OK && n == KS_SEAL_KEY_SIZE)
		memcpy(ret_key, plain, KS_SEAL_KEY_SIZE);
	ks_wipe(plain, sizeof(plain));
	return rv == CKR_OK && n != KS_SEAL_KEY_SIZE ? KS_CORRUPT : err_of(rv);
}

const struct ks_root_kind ks_root_pkcs11 = {KIND_PKCS11, "pkcs11", open_pkcs11, wrap, unwrap, false};
