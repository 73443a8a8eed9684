/* SPDX-License-Identifier: Apache-2.0 */
/** Answers in XML: those of AWS STS, whose documented answers have no other form. A small strict subset: elements and
 * text, UTF-8. A document type, an entity of its own, a comment, a section of CDATA or an instruction (but the leading
 * declaration) is refused, none of which such answers have. Pure, by index, without allocation. */
#pragma once

#include "base/buf.h"

#define KS_XML_DEPTH 16
#define KS_XML_PATH_MAX 4

/** True if `text` is one element, well formed as far as this reader goes, and nothing else but blanks and a declaration.
 * What is said below holds for such texts alone. */
KS_MUST_USE bool ks_xml_check(struct ks_str text);

/** The text of the first element that `path` leads to, from the document's own element on: names without prefix, ended by
 * NULL, at most KS_XML_PATH_MAX; "*" is any name. Written to `to`, with the five entities and numeric ones undone. False
 * (`to` as before): no such element, or it has elements within, or `to` has no room. */
KS_MUST_USE bool ks_xml_text(struct ks_str text, const char *const path[], struct ks_buf *to);
