/* SPDX-License-Identifier: Apache-2.0 */
/** Arrays on the heap that grow. */
#pragma once

#include <stdlib.h>
#include <string.h>

#include "base/err.h"

/** Makes room for one more element of `size` bytes: where `count` has reached *cap, the array that the pointer at `array` names
 * is made twice as large, `first` elements at first, and may move. The caller bounds the count and frees the array. KS_MEMORY:
 * nothing changed. */
KS_MUST_USE static inline enum ks_err ks_array_room(void *array, size_t *cap, size_t count, size_t first, size_t size)
{
	size_t larger = *cap ? 2 * *cap : first;
	void *items;

	if (count < *cap)
		return KS_OK;
	memcpy(&items, array, sizeof(items));
	items = reallocarray(items, larger, size);
	if (!items)
		return KS_MEMORY;
	memcpy(array, &items, sizeof(items));
	*cap = larger;
	return KS_OK;
}
