// SPDX-License-Identifier: Apache-2.0
// The same program for a compiler of C++.
#include "header.c"
