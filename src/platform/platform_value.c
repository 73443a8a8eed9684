/* SPDX-License-Identifier: Apache-2.0 */
/* Values of fields: types, named formats, and what to say to the person who entered a wrong one. */
#include <stdarg.h>
#include <stdio.h>

#include "base/addr.h"
#include "platform/platform_priv.h"

#define PEM_LINE_MAX 76

/* What is being checked, and where to say what is wrong with it. */
struct check {
	const struct ks_platform_field *field;
	struct ks_str value;
	struct ks_platform_detail *detail;
};

/* Says "<label> <words>". Always false. */
static bool refuse(const struct check *c, const char *fmt, ...) KS_PRINTF(2, 3);

static bool refuse(const struct check *c, const char *fmt, ...)
{
	char words[384];
	struct ks_buf text = ks_buf_of(c->detail->text, sizeof(c->detail->text));
	va_list args;

	va_start(args, fmt);
	int n = vsnprintf(words, sizeof(words), fmt, args);
	va_end(args);
	ks_buf_put(&text, ks_str_sub(ks_str_c(c->field->label), 0, 100));
	ks_buf_put_byte(&text, ' ');
	if (n > 0)
		ks_buf_put_c(&text, words);
	(void)ks_buf_z(&text);
	return false;
}

/* ---- types ---- */

static bool is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static bool check_line(const struct check *c)
{
	if (ks_str_find(c->value, '\n') != SIZE_MAX || ks_str_find(c->value, '\r') != SIZE_MAX)
		return refuse(c, "is one line: this has a line break");
	if (ks_str_has_control(c->value))
		return refuse(c, "has a control character in it: it was probably copied along");
	if (is_blank(c->value.p[0]) || is_blank(c->value.p[c->value.n - 1]))
		return refuse(c, "begins or ends with a blank: it was probably copied along");
	return true;
}

static bool check_lines(const struct check *c)
{
	for (size_t i = 0; i < c->value.n; i++) {
		unsigned char byte = (unsigned char)c->value.p[i];

		if ((byte < 0x20 && !is_blank((char)byte)) || byte == 0x7f)
			return refuse(c, "is text: this is a binary file, or has control characters");
	}
	return true;
}

static bool label_ok(struct ks_str label)
{
	for (size_t i = 0; i < label.n; i++) {
		char byte = label.p[i];
		bool edge = i == 0 || i + 1 == label.n;

		if (!((byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z') || (byte >= '0' && byte <= '9') ||
		      (byte == '-' && !edge)))
			return false;
	}
	return label.n > 0 && label.n <= 63;
}

/* Labels of RFC 1123, 2.1. What is all digits and dots was meant as an address. */
static bool host_ok(struct ks_str host)
{
	struct ks_str label, rest = host;
	bool letters = false;
	struct ks_addr addr;

	if (ks_addr_parse(host, &addr))
		return true;
	for (size_t i = 0; i < host.n; i++)
		letters |= host.p[i] != '.' && (host.p[i] < '0' || host.p[i] > '9');
	while (ks_str_split(rest, '.', &label, &rest)) {
		if (!label_ok(label))
			return false;
	}
	return letters && label_ok(rest) && host.n <= 253;
}

static bool check_host(const struct check *c)
{
	struct ks_str host = c->value;

	if (host_ok(host))
		return true;
	if (ks_str_starts(host, KS_STR("sip:")) || ks_str_starts(host, KS_STR("sips:")) || ks_str_find(host, '/') != SIZE_MAX ||
	    ks_str_find(host, '@') != SIZE_MAX)
		return refuse(c, "is a host name or address alone, such as sip.example.com: without sip: or https://, user and path");
	if (ks_str_find(host, ':') != SIZE_MAX)
		return refuse(c, "is a host name or address without port, such as sip.example.com");
	return refuse(c, "is a host name such as sip.example.com, or an address such as 192.0.2.10");
}

static bool check_number(const struct check *c)
{
	const struct ks_platform_field *f = c->field;
	uint64_t value;

	if (!ks_str_to_u64(c->value, UINT64_MAX, &value) || (c->value.n > 1 && c->value.p[0] == '0'))
		return refuse(c, "is a whole number, digits alone");
	if (value < f->number_min || value > f->number_max)
		return refuse(c, "is a number from %llu to %llu", (unsigned long long)f->number_min,
			      (unsigned long long)f->number_max);
	return true;
}

/* host, host:port, [v6] or [v6]:port. */
static bool authority_ok(struct ks_str text)
{
	struct ks_str host = text, port = KS_STR("443");
	struct ks_addr addr;
	uint64_t number;

	if (ks_str_starts(text, KS_STR("["))) {
		if (!ks_str_split(ks_str_sub(text, 1, text.n), ']', &host, &port) || ks_str_find(host, ':') == SIZE_MAX ||
		    !ks_addr_parse(host, &addr))
			return false;
		if (port.n == 0)
			return true;
		return port.p[0] == ':' && ks_str_to_u64(ks_str_sub(port, 1, port.n), 65535, &number) && number > 0;
	}
	if (ks_str_split(text, ':', &host, &port) && (!ks_str_to_u64(port, 65535, &number) || number == 0))
		return false;
	return ks_str_find(host, ':') == SIZE_MAX && host_ok(host);
}

static size_t authority_end(struct ks_str text)
{
	size_t i = 0;

	while (i < text.n && text.p[i] != '/' && text.p[i] != '?' && text.p[i] != '#')
		i++;
	return i;
}

static bool check_url(const struct check *c)
{
	static const char form[] = "is a URL such as https://api.example.com";
	struct ks_str rest = c->value;

	if (ks_str_starts(rest, KS_STR("https://")))
		rest = ks_str_sub(rest, 8, rest.n);
	else if (ks_str_starts(rest, KS_STR("http://")))
		rest = ks_str_sub(rest, 7, rest.n);
	else
		return refuse(c, "%s: it begins with https://", form);
	for (size_t i = 0; i < rest.n; i++) {
		if (rest.p[i] <= ' ' || rest.p[i] >= 0x7f || strchr("\"<>\\^`{|}", rest.p[i]))
			return refuse(c, "%s: blanks, quotes and letters that are not ASCII are written as %%XX", form);
	}
	if (ks_str_find(rest, '#') != SIZE_MAX)
		return refuse(c, "%s, without # and what follows it", form);
	struct ks_str authority = ks_str_sub(rest, 0, authority_end(rest));
	if (ks_str_find(authority, '@') != SIZE_MAX)
		return refuse(c, "%s, without user and password", form);
	return authority_ok(authority) || refuse(c, "%s: the host is not one", form);
}

static bool check_choice(const struct check *c)
{
	char list[256] = "";
	struct ks_buf b = KS_BUF(list);

	for (size_t i = 0; i < c->field->choice_count; i++) {
		struct ks_str value = ks_str_c(c->field->choices[i].value);

		if (ks_str_eq(c->value, value))
			return true;
		if (b.n + value.n + 8 > sizeof(list))
			continue;
		ks_buf_put_c(&b, i ? ", " : "");
		ks_buf_put(&b, value);
	}
	return refuse(c, "is one of: %s", ks_buf_z(&b));
}

static bool check_networks(const struct check *c)
{
	size_t at = 0;

	while (at < c->value.n) {
		size_t from = at;
		struct ks_cidr range;

		while (at < c->value.n && !is_blank(c->value.p[at]) && c->value.p[at] != ',')
			at++;
		if (at > from && !ks_cidr_parse(ks_str_sub(c->value, from, at - from), &range))
			return refuse(c, "is a list of addresses and ranges such as 192.0.2.0/24: number %zu and on is none", from + 1);
		at++;
	}
	return true;
}

struct type {
	const char *text;
	const char *about;
	bool secret;
	size_t max;
	bool (*check)(const struct check *c);
};

static const struct type types[KS_PLATFORM_TYPE_COUNT] = {
#define KS_PLATFORM_TYPE(name, text, secret, max, check, about) [KS_PLATFORM_##name] = {text, about, secret, max, check_##check},
#include "platform/types.def"
#undef KS_PLATFORM_TYPE
};

const char *ks_platform_type_text(enum ks_platform_type type)
{
	return types[type].text;
}

bool ks_platform_type_secret(enum ks_platform_type type)
{
	return types[type].secret;
}

size_t ks_platform_type_max(enum ks_platform_type type)
{
	return types[type].max;
}

/* ---- formats ---- */

static const struct ks_platform_format named[] = {
#define KS_PLATFORM_FORMAT(name_, pattern_, message_, example_) \
	{.name = name_, .text = pattern_, .message = message_, .example = example_},
#define KS_PLATFORM_PEM(name_, first, second, third, message_) \
	{.name = name_, .message = message_, .example = "", .pem = {first, second, third}},
#include "platform/formats.def"
#undef KS_PLATFORM_PEM
#undef KS_PLATFORM_FORMAT
};

const struct ks_platform_format *ks_platform_format_named(struct ks_str name, struct ks_yaml_arena *arena, bool *ret_memory)
{
	for (size_t i = 0; i < KS_ARRAY_LEN(named); i++) {
		struct ks_platform_format *format;

		if (!ks_str_eq(name, ks_str_c(named[i].name)))
			continue;
		format = ks_yaml_arena_take(arena, sizeof(*format));
		if (format) {
			*format = named[i];
			if (format->text && ks_platform_pattern_compile(ks_str_c(format->text), arena, &format->pattern, ret_memory))
				return NULL;
		}
		*ret_memory |= !format;
		return *ret_memory ? NULL : format;
	}
	return NULL;
}

const char *ks_platform_format_name(const struct ks_platform_format *format)
{
	return format->name;
}

const char *ks_platform_format_pattern(const struct ks_platform_format *format)
{
	return format->text;
}

const char *ks_platform_format_message(const struct ks_platform_format *format)
{
	return format->message;
}

/* The next line of `rest`, without its end. */
static bool next_line(struct ks_str *rest, struct ks_str *ret_line)
{
	struct ks_str line = *rest;

	if (rest->n == 0)
		return false;
	if (!ks_str_split(*rest, '\n', &line, rest))
		*rest = ks_str_of(NULL, 0);
	while (line.n > 0 && is_blank(line.p[line.n - 1]))
		line.n--;
	*ret_line = line;
	return true;
}

/* The label of "-----BEGIN label-----". */
static bool pem_label(struct ks_str line, struct ks_str word, struct ks_str *ret_label)
{
	struct ks_str dashes = KS_STR("-----");

	if (!ks_str_starts(line, dashes) || line.n < word.n + 11 || !ks_str_eq(ks_str_sub(line, line.n - 5, 5), dashes))
		return false;
	line = ks_str_sub(line, 5, line.n - 10);
	if (!ks_str_starts(line, word))
		return false;
	*ret_label = ks_str_sub(line, word.n, line.n);
	return true;
}

static bool base64_line(struct ks_str line)
{
	for (size_t i = 0; i < line.n; i++) {
		char byte = line.p[i];
		bool digit = (byte >= 'A' && byte <= 'Z') || (byte >= 'a' && byte <= 'z') || (byte >= '0' && byte <= '9') ||
			     byte == '+' || byte == '/';

		if (!digit && !(byte == '=' && i + 2 >= line.n))
			return false;
	}
	return line.n <= PEM_LINE_MAX;
}

static bool label_taken(const struct ks_platform_format *format, struct ks_str label)
{
	for (size_t i = 0; i < KS_ARRAY_LEN(format->pem); i++) {
		if (format->pem[i] && ks_str_eq(label, ks_str_c(format->pem[i])))
			return true;
	}
	return false;
}

/* Lines of base64 up to the end of the block `label`. */
static bool pem_body(const struct check *c, struct ks_str *rest, struct ks_str label)
{
	struct ks_str line, end;
	size_t digits = 0;

	while (next_line(rest, &line)) {
		if (pem_label(line, KS_STR("END "), &end)) {
			if (!ks_str_eq(end, label))
				return refuse(c, "has an -----END----- line that does not fit its -----BEGIN----- line");
			if (digits == 0 || digits % 4 != 0)
				return refuse(c, "is not whole: some of it is missing between the first line and the last");
			return true;
		}
		if (ks_str_starts(line, KS_STR("Proc-Type:")))
			return refuse(c, "is encrypted with a passphrase: enter it without one");
		if (!base64_line(line) || line.n == 0)
			return refuse(c, "is not whole PEM: there is a line in it that is no base64");
		digits += line.n;
	}
	return refuse(c, "has no -----END----- line: copy all of it");
}

/* RFC 7468, without text around the blocks. Certificates may be several. */
static bool check_pem(const struct check *c)
{
	const struct ks_platform_format *format = c->field->format;
	bool many = ks_str_eq(ks_str_c(format->pem[0]), KS_STR("CERTIFICATE"));
	struct ks_str rest = c->value, line, label;
	size_t blocks = 0;

	while (next_line(&rest, &line)) {
		if (line.n == 0)
			continue;
		if (!pem_label(line, KS_STR("BEGIN "), &label))
			return refuse(c, "%s", format->message);
		if (ks_str_eq(label, KS_STR("ENCRYPTED PRIVATE KEY")) && label_taken(format, KS_STR("PRIVATE KEY")))
			return refuse(c, "is encrypted with a passphrase: enter it without one");
		if (!label_taken(format, label))
			return refuse(c, "%s: this is something else in PEM", format->message);
		if (blocks++ > 0 && !many)
			return refuse(c, "is one, and here are more than one");
		if (!pem_body(c, &rest, label))
			return false;
	}
	return blocks > 0 || refuse(c, "%s", format->message);
}

static bool check_format(const struct check *c)
{
	const struct ks_platform_format *format = c->field->format;

	if (!format)
		return true;
	if (!format->text)
		return check_pem(c);
	if (ks_platform_pattern_match(&format->pattern, c->value))
		return true;
	if (c->field->secret || !c->field->example[0])
		return refuse(c, "%s", format->message);
	return refuse(c, "%s, such as %s", format->message, c->field->example);
}

bool ks_platform_check_value(const struct ks_platform_field *field, struct ks_str value, struct ks_platform_detail *ret_detail)
{
	struct ks_platform_detail detail = {""};
	struct check c = {field, value, &detail};
	bool ok;

	if (value.n == 0)
		ok = refuse(&c, "has no value");
	else if (value.n > KS_MIN(field->length_max, KS_PLATFORM_VALUE_MAX))
		ok = refuse(&c, "has at most %zu bytes: this has %zu", field->length_max, value.n);
	else if (!ks_str_is_utf8(value) || memchr(value.p, 0, value.n))
		ok = refuse(&c, "is text in UTF-8: this is not");
	else
		ok = types[field->type].check(&c) && check_format(&c);
	if (ok && value.n < field->length_min)
		ok = refuse(&c, "has at least %zu bytes: this has %zu", field->length_min, value.n);
	if (!ok)
		*ret_detail = detail;
	return ok;
}
