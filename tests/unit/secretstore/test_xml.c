/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "secretstore/xml.h"

/* As the API reference of AWS STS shows it. */
static const char answer[] =
	"<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<AssumeRoleResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\">\n"
	"<AssumeRoleResult><SourceIdentity/><AssumedRoleUser><Arn>arn:aws:sts::1:x</Arn></AssumedRoleUser>\n"
	"<Credentials><AccessKeyId>ASIAIOSFODNN7EXAMPLE</AccessKeyId><SecretAccessKey>wJalr&amp;XUtnFEMI/K&#55;MDENG&#x2f;</SecretAccessKey>\n"
	"<SessionToken></SessionToken><Empty/><Nested><A>1</A></Nested></Credentials></AssumeRoleResult></AssumeRoleResponse>\n";

static bool find(const char *name, char *out, size_t cap)
{
	const char *const path[] = {"AssumeRoleResponse", "AssumeRoleResult", "Credentials", name, NULL};
	struct ks_buf b = ks_buf_of(out, cap);
	bool found = ks_xml_text(ks_str_c(answer), path, &b);

	(void)ks_buf_z(&b);
	return found;
}

static void reads(void **state)
{
	char text[64];

	(void)state;
	assert_true(ks_xml_check(ks_str_c(answer)));
	assert_true(find("AccessKeyId", text, sizeof(text)));
	assert_string_equal(text, "ASIAIOSFODNN7EXAMPLE");
	assert_true(find("SecretAccessKey", text, sizeof(text)));
	assert_string_equal(text, "wJalr&XUtnFEMI/K7MDENG/");
	assert_true(find("SessionToken", text, sizeof(text)));
	assert_string_equal(text, "");
	assert_false(find("Arn", text, sizeof(text)));
	assert_false(find("Nested", text, sizeof(text)));
	assert_false(find("AccessKeyId", text, 10));
}

static void any_name_and_prefixes(void **state)
{
	static const char *const path[] = {"*", "b", NULL};
	char text[16];
	struct ks_buf b = KS_BUF(text);

	(void)state;
	assert_true(ks_xml_check(KS_STR("<x:a><y:b z='>'>1</y:b></x:a>")));
	assert_true(ks_xml_text(KS_STR("<x:a><y:b z='>'>1</y:b></x:a>"), path, &b));
	assert_true(ks_str_eq(ks_buf_str(&b), KS_STR("1")));
}

static void refuses(void **state)
{
	static const char *const bad[] = {
		"", "text", "<a>", "<a></b>", "<a/><b/>", "<a>x</a>y", "<a><!-- x --></a>", "<a><![CDATA[x]]></a>",
		"<!DOCTYPE a [<!ENTITY x \"y\">]><a>&x;</a>", "<a>&x;</a>", "<a>&amp</a>", "<a>&#0;</a>", "<a>&#xffff;</a>", "<a>&#x;</a>",
		"<a><?php ?></a>", "<a b></a>", "<a b=c></a>", "<a b='<'></a>", "<a b='></a>", "<a /b>", "< a></a>", "<a></ a>", "<a>\xff</a>",
		"<1:></1:>", "<a><a><a><a><a><a><a><a><a><a><a><a><a><a><a><a><a/></a></a></a></a></a></a></a></a></a></a></a></a></a></a></a></a>",
	};

	(void)state;
	for (size_t i = 0; i < KS_ARRAY_LEN(bad); i++) {
		if (ks_xml_check(ks_str_c(bad[i])))
			fail_msg("accepted: %s", bad[i]);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reads),
		cmocka_unit_test(any_name_and_prefixes),
		cmocka_unit_test(refuses),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
