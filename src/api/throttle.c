/* SPDX-License-Identifier: Apache-2.0 */
/* Attempts with passwords and codes: by account and by address, whether there is such an account or not. */
#include "api/login.h"

/* An account: five attempts, then 1, 2, 4 … seconds. An address has many users behind it. */
static const struct ks_throttle_rule account_rule = {
	.free = 5, .first_ms = 1000, .longest_ms = 300000, .forget_ms = 900000};
static const struct ks_throttle_rule address_rule = {
	.free = 50, .first_ms = 1000, .longest_ms = 60000, .forget_ms = 900000};

/* Of links, which nobody guesses: what it bounds is the work. */
static const struct ks_throttle_rule link_rule = {
	.free = 300, .first_ms = 1000, .longest_ms = 60000, .forget_ms = 900000};

#define NAME_MAX (KS_STORE_EMAIL_MAX + 16)

static struct ks_str account_name(struct ks_str name, char text[NAME_MAX])
{
	struct ks_buf b = ks_buf_of(text, NAME_MAX);

	ks_buf_put_c(&b, "account ");
	ks_buf_put(&b, ks_str_sub(name, 0, KS_STORE_EMAIL_MAX));
	return ks_buf_str(&b);
}

static bool is_v4(const struct ks_addr *addr)
{
	static const struct ks_cidr mapped = {.base = {{[10] = 0xff, [11] = 0xff}}, .bits = 96};

	return ks_cidr_has(&mapped, addr);
}

/* An IPv6 client has a /64 to choose from. Empty: unknown, and not throttled. */
static struct ks_str address_name(const struct ks_call *call, const char *what, char text[NAME_MAX])
{
	struct ks_buf b = ks_buf_of(text, NAME_MAX);
	struct ks_addr addr;

	if (!ks_client_address(call->api, call->exchange, &addr))
		return KS_STR("");
	ks_buf_put_c(&b, what);
	ks_buf_put_hex(&b, addr.bytes, is_v4(&addr) ? 16 : 8);
	return ks_buf_str(&b);
}

static bool refuse(struct ks_call *call, int64_t wait_ms)
{
	const struct ks_reason_info *info = ks_reason_info(KS_REASON_RATE_LIMITED);

	ks_api_count_login(KS_LOGIN_THROTTLED);
	ks_exchange_number_header(call->exchange, KS_STR("Retry-After"), (uint64_t)(wait_ms + 999) / 1000);
	ks_exchange_problem(call->exchange, info->code, info->status, "Too many attempts.", "Too many attempts.", NULL,
			    KS_STR(""));
	return false;
}

int64_t ks_throttle_link(struct ks_call *call)
{
	struct ks_api *api = call->api;
	char text[NAME_MAX];
	struct ks_str address = address_name(call, "link ", text);
	int64_t wait_ms;

	if (ks_str_empty(address))
		return 0;
	(void)pthread_mutex_lock(&api->throttle_lock);
	wait_ms = ks_throttle_take(api->throttle, &link_rule, address, call->exchange->now_ms);
	(void)pthread_mutex_unlock(&api->throttle_lock);
	return wait_ms;
}

void ks_throttle_link_right(struct ks_call *call)
{
	char text[NAME_MAX];
	struct ks_str address = address_name(call, "link ", text);

	(void)pthread_mutex_lock(&call->api->throttle_lock);
	ks_throttle_give_back(call->api->throttle, address);
	(void)pthread_mutex_unlock(&call->api->throttle_lock);
}

bool ks_throttle_admit(struct ks_call *call, struct ks_str name)
{
	struct ks_api *api = call->api;
	char texts[2][NAME_MAX];
	struct ks_str account = account_name(name, texts[0]), address = address_name(call, "address ", texts[1]);
	int64_t now_ms = call->exchange->now_ms, wait_ms = 0;

	(void)pthread_mutex_lock(&api->throttle_lock);
	if (!ks_str_empty(address))
		wait_ms = ks_throttle_take(api->throttle, &address_rule, address, now_ms);
	if (wait_ms == 0)
		wait_ms = ks_throttle_take(api->throttle, &account_rule, account, now_ms);
	(void)pthread_mutex_unlock(&api->throttle_lock);
	return wait_ms == 0 || refuse(call, wait_ms);
}

void ks_throttle_right(struct ks_call *call, struct ks_str name)
{
	struct ks_api *api = call->api;
	char texts[2][NAME_MAX];
	struct ks_str account = account_name(name, texts[0]), address = address_name(call, "address ", texts[1]);

	(void)pthread_mutex_lock(&api->throttle_lock);
	ks_throttle_forget(api->throttle, account);
	ks_throttle_give_back(api->throttle, address);
	(void)pthread_mutex_unlock(&api->throttle_lock);
}

void ks_throttle_undo(struct ks_call *call, struct ks_str name)
{
	struct ks_api *api = call->api;
	char texts[2][NAME_MAX];
	struct ks_str account = account_name(name, texts[0]), address = address_name(call, "address ", texts[1]);

	(void)pthread_mutex_lock(&api->throttle_lock);
	ks_throttle_give_back(api->throttle, account);
	ks_throttle_give_back(api->throttle, address);
	(void)pthread_mutex_unlock(&api->throttle_lock);
}
