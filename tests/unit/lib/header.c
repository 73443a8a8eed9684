/* SPDX-License-Identifier: Apache-2.0 */
/* The public header alone, as strict C99 or as C++11, and a program that a stranger might write with it. */
#include <keystile/keystile.h>

int main(void)
{
	struct keystile_request request = KEYSTILE_REQUEST;
	const struct keystile_verdict *verdict;
	struct keystile *ks = NULL;
	char token[KEYSTILE_TOKEN_SIZE];

	if (request.size != sizeof(request) || strcmp(keystile_version(), KEYSTILE_VERSION_TEXT) != 0)
		return 1;
	if (keystile_open("/nowhere/at/all", &ks) != KEYSTILE_NOT_FOUND || ks != NULL)
		return 2;
	request.authorization = keystile_text("Bearer ks_0123456789abcdef0123456789abcdef");
	request.method = keystile_text("GET");
	request.path = keystile_text_n("/api/v1/contacts?x", 16);
	verdict = keystile_decide(ks, &request);
	if (keystile_verdict_allows(verdict) || strcmp(keystile_verdict_code(verdict), "stale") != 0)
		return 3;
	if (keystile_token_make(keystile_text("ks"), true, token) != KEYSTILE_OK
	    || keystile_token_form(keystile_text(token)) != KEYSTILE_FORM_OWN)
		return 4;
	keystile_wipe(token, sizeof(token));
	keystile_close(ks);
	return 0;
}
