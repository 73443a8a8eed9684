/* SPDX-License-Identifier: Apache-2.0 */
#include "login/password.h"

/* The commonest of 12 bytes and more, in lower case; shorter ones are refused for their length. */
static const char *const common[] = {
	"123456789012",     "1234567890123",    "12345678901234",   "123456789012345",  "1234567890123456",
	"1234567890-=",     "012345678910",     "0123456789012",    "098765432100",     "123123123123",
	"123412341234",     "112233445566",     "121212121212",     "123qweasdzxc",     "1q2w3e4r5t6y",
	"1q2w3e4r5t6y7u8i", "1qaz2wsx3edc",     "1qaz2wsx3edc4rfv", "1qazxsw23edc",     "abcd1234abcd",
	"abcdefghijkl",     "abcdefghijklmnop", "adminadminadmin",  "administrator",    "administrator1",
	"asdfghjkl123",     "asdfghjkl;'",      "asdfasdfasdf",     "changeme1234",     "changemenow1",
	"changeme123!",     "computer1234",     "correcthorsebatterystaple", "facebook1234", "football1234",
	"iloveyou1234",     "iloveyouforever",  "iloveyousomuch",   "letmein12345",     "letmeinplease",
	"liverpoolfc1",     "manchesterunited", "motherfucker",     "masterpassword",   "mypassword12",
	"mypassword123",    "newpassword1",     "p@ssw0rd1234",     "p@ssword1234",     "passw0rd1234",
	"password0000",     "password1234",     "password12345",    "password123456",   "password1234!",
	"password!234",     "password123!",     "passwordpassword", "princess1234",     "q1w2e3r4t5y6",
	"qazwsxedc123",     "qazwsxedcrfv",     "qwer1234qwer",     "qwerasdfzxcv",     "qwerqwerqwer",
	"qwerty123456",     "qwerty1234567",    "qwertyuiop12",     "qwertyuiop123",    "qwertyuiop[]",
	"qwertyuiopas",     "qwertyuiopasdf",   "qwertyuiopasdfghjkl", "qwertyqwerty",  "secretsecret",
	"security1234",     "spongebob123",     "summer2023!!",     "summer2024!!",     "sunshine1234",
	"superman1234",     "supersecret1",     "temporary123",     "testtesttest",     "thisismypassword",
	"trustno1trustno1", "unbelievable",     "unknownunknown",   "welcome12345",     "welcome123456",
	"welcome2023!",     "welcome2024!",     "whatever1234",     "winter2023!!",     "winter2024!!",
	"zaq12wsxcde3",     "zaq1zaq1zaq1",     "zxcvbnm12345",     "zxcvbnmasdfg",
};

#define DISTINCT_MIN 4

/* A few bytes over and over again. */
static bool is_monotonous(struct ks_str password)
{
	bool seen[256] = {false};
	size_t distinct = 0;

	for (size_t i = 0; i < password.n; i++) {
		distinct += !seen[(unsigned char)password.p[i]];
		seen[(unsigned char)password.p[i]] = true;
	}
	return distinct < DISTINCT_MIN;
}

static bool is_common(struct ks_str password)
{
	for (size_t i = 0; i < KS_ARRAY_LEN(common); i++) {
		if (ks_str_eq_nocase(password, ks_str_c(common[i])))
			return true;
	}
	return false;
}

const char *ks_password_fault(struct ks_str password, struct ks_str email)
{
	if (password.n < KS_PASSWORD_MIN)
		return "This must have 12 bytes at least.";
	if (password.n > KS_PASSWORD_MAX)
		return "This must have 1024 bytes at most.";
	if (!ks_str_is_utf8(password) || ks_str_find(password, '\0') != SIZE_MAX)
		return "This must be UTF-8 without NUL.";
	if (ks_str_eq_nocase(password, email))
		return "This must not be the e-mail address.";
	if (is_common(password) || is_monotonous(password))
		return "This is one of the passwords that are tried first.";
	return NULL;
}
