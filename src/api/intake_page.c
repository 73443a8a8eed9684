/* SPDX-License-Identifier: Apache-2.0 */
/* What people see of an intake link. Works without a script, and loads nothing. */
#include <stdatomic.h>

#include "api/html.h"
#include "api/intake.h"
#include "base/time.h"

#define MINUTE_MS INT64_C(60000)

static _Atomic uint64_t counts[KS_INTAKE_COUNT];

void ks_intake_count(enum ks_intake_outcome outcome)
{
	(void)atomic_fetch_add_explicit(&counts[outcome], 1, memory_order_relaxed);
}

uint64_t ks_intake_counted(enum ks_intake_outcome outcome)
{
	return atomic_load_explicit(&counts[outcome], memory_order_relaxed);
}

/* ---- pieces ---- */

static void put_c(struct ks_html *html, const char *text)
{
	ks_html_text(html, ks_str_c(text));
}

static void put_number(struct ks_html *html, uint64_t n)
{
	ks_buf_put_u64(&html->b, n);
}

/* "2026-11-22T10:45:00.000Z" as "22 November 2026, 10:45 UTC". */
static void put_time(struct ks_html *html, int64_t ms)
{
	static const char *const months[] = {"January", "February", "March",     "April",   "May",      "June",
					     "July",    "August",   "September", "October", "November", "December"};
	char text[KS_TIME_TEXT_SIZE];
	struct ks_str whole;
	uint64_t day, month;

	ks_time_format(ms, text);
	whole = ks_str_c(text);
	if (!ks_str_to_u64(ks_str_sub(whole, 8, 2), 31, &day) || !ks_str_to_u64(ks_str_sub(whole, 5, 2), 12, &month))
		return;
	ks_html_raw(html, "<time datetime=\"");
	ks_html_text(html, whole);
	ks_html_raw(html, "\">");
	put_number(html, day);
	ks_html_raw(html, " ");
	put_c(html, months[(month - 1) % KS_ARRAY_LEN(months)]);
	ks_html_raw(html, " ");
	ks_html_text(html, ks_str_sub(whole, 0, 4));
	ks_html_raw(html, ", ");
	ks_html_text(html, ks_str_sub(whole, 11, 5));
	ks_html_raw(html, " UTC</time>");
}

/* "for another 3 hours": the largest unit of which there are two, rounded down. */
static void put_left(struct ks_html *html, int64_t ms)
{
	static const struct {
		int64_t ms;
		const char *name;
	} units[] = {{1440 * MINUTE_MS, " days"}, {60 * MINUTE_MS, " hours"}, {MINUTE_MS, " minutes"}};

	for (size_t i = 0; i < KS_ARRAY_LEN(units); i++) {
		if (ms < 2 * units[i].ms)
			continue;
		ks_html_raw(html, "for another ");
		put_number(html, (uint64_t)(ms / units[i].ms));
		put_c(html, units[i].name);
		return;
	}
	ks_html_raw(html, "for a minute or two");
}

static void put_row(struct ks_html *html, const char *name, const char *value)
{
	if (!value[0])
		return;
	ks_html_raw(html, "<div><dt>");
	put_c(html, name);
	ks_html_raw(html, "</dt><dd>");
	put_c(html, value);
	ks_html_raw(html, "</dd></div>\n");
}

static void put_facts(struct ks_html *html, const struct ks_intake *intake, int64_t now_ms)
{
	ks_html_raw(html, "<dl>\n");
	put_row(html, "Platform", intake->platform->label);
	put_row(html, "Connection", intake->link.provider_name);
	put_row(html, "Account", intake->link.tenant_name);
	put_row(html, "For", intake->link.recipient);
	ks_html_raw(html, "<div><dt>Open until</dt><dd>");
	put_time(html, intake->link.expires_at);
	ks_html_raw(html, "<small>");
	put_left(html, intake->link.expires_at - now_ms);
	ks_html_raw(html, "</small></dd></div>\n</dl>\n");
}

/* ---- the control that takes the value ---- */

/* Nothing that fills, corrects, learns or keeps what is entered: it is nobody's password for this site. */
static void put_attributes(struct ks_html *html, const struct ks_intake *intake)
{
	const struct ks_platform_field *field = intake->field;

	ks_html_raw(html, " autocomplete=\"off\" autocapitalize=\"none\" autocorrect=\"off\" spellcheck=\"false\" "
			  "data-1p-ignore data-bwignore data-lpignore=\"true\" data-form-type=\"other\"");
	ks_html_raw(html, " aria-describedby=\"");
	ks_html_raw(html, intake->fault.text[0] ? "fault " : "");
	ks_html_raw(html, field->help[0] ? "help " : "");
	ks_html_raw(html, field->example[0] ? "example " : "");
	ks_html_raw(html, "once\"");
	if (intake->fault.text[0])
		ks_html_raw(html, " aria-invalid=\"true\"");
}

static void put_choices(struct ks_html *html, const struct ks_intake *intake)
{
	ks_html_raw(html, "<select id=\"value\" name=\"value\" required");
	put_attributes(html, intake);
	ks_html_raw(html, ">\n<option value=\"\">Choose one</option>\n");
	for (size_t i = 0; i < intake->field->choice_count; i++) {
		const struct ks_platform_choice *choice = &intake->field->choices[i];

		ks_html_raw(html, "<option value=\"");
		put_c(html, choice->value);
		ks_html_raw(html, "\">");
		put_c(html, choice->label[0] ? choice->label : choice->value);
		ks_html_raw(html, "</option>\n");
	}
	ks_html_raw(html, "</select>\n");
}

static void put_line(struct ks_html *html, const struct ks_intake *intake)
{
	const struct ks_platform_field *field = intake->field;
	bool digits = field->type == KS_PLATFORM_NUMBER || field->type == KS_PLATFORM_PORT;

	ks_html_raw(html, "<input id=\"value\" name=\"value\" required type=\"");
	ks_html_raw(html, field->secret ? "password\"" : "text\"");
	if (!field->secret)
		ks_html_raw(html, digits ? " inputmode=\"numeric\""
				  : field->type == KS_PLATFORM_URL ? " inputmode=\"url\"" : "");
	put_attributes(html, intake);
	ks_html_raw(html, ">\n");
}

static void put_lines(struct ks_html *html, const struct ks_intake *intake, bool required)
{
	ks_html_raw(html, "<textarea id=\"value\" name=\"value\" rows=\"6\"");
	ks_html_raw(html, required ? " required" : "");
	put_attributes(html, intake);
	ks_html_raw(html, "></textarea>\n");
}

static void put_hints(struct ks_html *html, const struct ks_intake *intake)
{
	const struct ks_platform_field *field = intake->field;

	if (field->help[0]) {
		ks_html_raw(html, "<p class=\"hint\" id=\"help\">");
		put_c(html, field->help);
		ks_html_raw(html, "</p>\n");
	}
	if (field->example[0]) {
		ks_html_raw(html, "<p class=\"hint\" id=\"example\">It looks like <code>");
		put_c(html, field->example);
		ks_html_raw(html, "</code></p>\n");
	}
}

static void put_label(struct ks_html *html, const char *control, const char *text)
{
	ks_html_raw(html, "<label for=\"");
	ks_html_raw(html, control);
	ks_html_raw(html, "\">");
	put_c(html, text);
	ks_html_raw(html, "</label>\n");
}

static void put_file(struct ks_html *html, const struct ks_intake *intake)
{
	ks_html_raw(html, "<div class=\"item\">\n");
	put_label(html, "file", intake->field->label);
	put_hints(html, intake);
	ks_html_raw(html, "<input id=\"file\" name=\"file\" type=\"file\" accept=\".pem,.key,.crt,.cer,.txt,.json,text/plain\""
			  " aria-describedby=\"once\">\n</div>\n<div class=\"item\">\n");
	put_label(html, "value", "Or paste what is in it");
	put_lines(html, intake, false);
	ks_html_raw(html, "</div>\n");
}

static void put_control(struct ks_html *html, const struct ks_intake *intake)
{
	if (intake->field->type == KS_PLATFORM_FILE) {
		put_file(html, intake);
		return;
	}
	ks_html_raw(html, "<div class=\"item\">\n");
	put_label(html, "value", intake->field->label);
	put_hints(html, intake);
	if (intake->field->type == KS_PLATFORM_CHOICE)
		put_choices(html, intake);
	else if (intake->field->type == KS_PLATFORM_MULTI_LINE || intake->field->type == KS_PLATFORM_NETWORKS)
		put_lines(html, intake, true);
	else
		put_line(html, intake);
	ks_html_raw(html, "</div>\n");
}

static void put_fault(struct ks_html *html, const struct ks_intake *intake)
{
	if (!intake->fault.text[0])
		return;
	ks_html_raw(html, "<p class=\"note bad\" id=\"fault\" role=\"alert\">");
	put_c(html, intake->fault.text);
	ks_html_raw(html, intake->fault.text[strlen(intake->fault.text) - 1] == '.' ? "" : ".");
	ks_html_raw(html, "<br>Nothing was taken. Please enter it again; this can go wrong ");
	put_number(html, intake->left);
	ks_html_raw(html, intake->left == 1 ? " more time.</p>\n" : " more times.</p>\n");
}

/* ---- pages ---- */

/* "Auth token for Twilio" */
static void put_title(struct ks_buf *title, const struct ks_intake *intake)
{
	ks_buf_put_c(title, intake->field->label);
	ks_buf_put_c(title, " for ");
	ks_buf_put_c(title, intake->platform->label);
}

enum ks_finish ks_intake_form(struct ks_call *call, const struct ks_intake *intake)
{
	bool faulty = intake->fault.text[0] != '\0';
	char room[2 * KS_PLATFORM_LINE_MAX + 16];
	struct ks_buf title = KS_BUF(room);
	struct ks_html html;

	ks_intake_count(faulty ? KS_INTAKE_REFUSED : KS_INTAKE_SHOWN);
	put_title(&title, intake);
	if (ks_html_begin(&html, ks_buf_str(&title), KS_STR("")) != KS_OK)
		return ks_call_problem(call, KS_PROBLEM_INTERNAL, NULL);
	ks_html_raw(&html, "<p class=\"over\">One-time link for one value</p>\n<h1>");
	ks_html_text(&html, ks_buf_str(&title));
	ks_html_raw(&html, "</h1>\n<p class=\"soft\">Enter it here instead of sending it to anybody. It goes straight into "
			   "the vault, and nobody who had this link can read it there.</p>\n");
	put_fault(&html, intake);
	put_facts(&html, intake, call->exchange->now_ms);
	ks_html_raw(&html, "<form method=\"post\" enctype=\"multipart/form-data\" autocomplete=\"off\">\n");
	put_control(&html, intake);
	ks_html_raw(&html, "<button type=\"submit\">Hand it over</button>\n</form>\n"
			   "<p class=\"fine\" id=\"once\">This works once. Looking at this page uses nothing up.");
	if (intake->platform->documentation[0]) {
		ks_html_raw(&html, " Where to find the value: <a rel=\"noopener noreferrer\" target=\"_blank\"");
		ks_html_raw(&html, " href=\"");
		put_c(&html, intake->platform->documentation);
		ks_html_raw(&html, "\">documentation of ");
		put_c(&html, intake->platform->label);
		ks_html_raw(&html, "</a>.");
	}
	ks_html_raw(&html, "</p>\n");
	return ks_html_answer(call, &html, faulty ? 422 : 200);
}

enum ks_finish ks_intake_thanks(struct ks_call *call, const struct ks_intake *intake)
{
	struct ks_html html;

	ks_intake_count(KS_INTAKE_TAKEN);
	if (ks_html_begin(&html, KS_STR("Thank you"), KS_STR("")) != KS_OK)
		return ks_call_problem(call, KS_PROBLEM_INTERNAL, NULL);
	ks_html_raw(&html, "<h1>Thank you.</h1>\n<p class=\"note good\" role=\"status\">");
	put_c(&html, intake->field->label);
	ks_html_raw(&html, " for ");
	put_c(&html, intake->platform->label);
	ks_html_raw(&html, " is in the vault.</p>\n<p>The link is used up, and you can close this page. If the value was the "
			   "wrong one, ask for a new link.</p>\n");
	return ks_html_answer(call, &html, 200);
}

enum ks_finish ks_intake_gone(struct ks_call *call)
{
	ks_intake_count(KS_INTAKE_GONE);
	return ks_intake_say(call, 410, "This link is not open.",
			     "It was used, has expired, was withdrawn, was tried too often, or was never there. Whoever "
			     "sent it to you can send a new one.");
}

enum ks_finish ks_intake_say(struct ks_call *call, int status, const char *title, const char *text)
{
	struct ks_html html;

	if (ks_html_begin(&html, ks_str_c(title), KS_STR("")) != KS_OK)
		return ks_call_problem(call, KS_PROBLEM_INTERNAL, NULL);
	ks_html_raw(&html, "<h1>");
	put_c(&html, title);
	ks_html_raw(&html, "</h1>\n<p>");
	put_c(&html, text);
	ks_html_raw(&html, "</p>\n");
	return ks_html_answer(call, &html, status);
}
