/* SPDX-License-Identifier: Apache-2.0 */
#include "hooksig/hooksig_priv.h"

/* Divides "host:port"; the colon that counts is the one after the brackets of an IPv6 address. */
static bool divide_port(struct ks_str authority, struct hs_url *url)
{
	size_t end = 0;

	if (ks_str_starts(authority, KS_STR("["))) {
		end = ks_str_find(authority, ']');
		if (end == SIZE_MAX)
			return false;
		end++;
	} else {
		end = KS_MIN(ks_str_find(authority, ':'), authority.n);
	}
	url->host = ks_str_sub(authority, 0, end);
	url->port = KS_STR("");
	if (end == authority.n)
		return url->host.n > 0;
	url->port = ks_str_sub(authority, end + 1, SIZE_MAX);
	for (size_t i = 0; i < url->port.n; i++)
		if (url->port.p[i] < '0' || url->port.p[i] > '9')
			return false;
	return authority.p[end] == ':' && url->port.n > 0 && url->port.n <= 5 && url->host.n > 0;
}

static bool is_clean(struct ks_str text)
{
	for (size_t i = 0; i < text.n; i++)
		if ((unsigned char)text.p[i] <= ' ' || text.p[i] == 0x7f || text.p[i] == '#')
			return false;
	return true;
}

bool hs_url_parse(struct ks_str text, struct hs_url *ret_url)
{
	struct hs_url url = {.whole = text};
	struct ks_str rest, authority;
	size_t colon = ks_str_find(text, ':'), end = 0, at;

	if (text.n > KS_HOOKSIG_URL_MAX || !is_clean(text) || colon == SIZE_MAX || colon == 0 ||
	    !ks_str_starts(ks_str_sub(text, colon, SIZE_MAX), KS_STR("://")))
		return false;
	url.scheme = ks_str_sub(text, 0, colon);
	rest = ks_str_sub(text, colon + 3, SIZE_MAX);
	while (end < rest.n && rest.p[end] != '/' && rest.p[end] != '?')
		end++;
	authority = ks_str_sub(rest, 0, end);
	rest = ks_str_sub(rest, end, SIZE_MAX);
	at = ks_str_find(authority, '@');
	if (at != SIZE_MAX) {
		url.userinfo = ks_str_sub(authority, 0, at);
		authority = ks_str_sub(authority, at + 1, SIZE_MAX);
	}
	url.has_query = ks_str_split(rest, '?', &url.path, &url.query);
	if (!url.has_query)
		url.path = rest;
	if (!divide_port(authority, &url))
		return false;
	*ret_url = url;
	return true;
}
