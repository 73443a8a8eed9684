/* SPDX-License-Identifier: Apache-2.0 */
/** What confines the keeper. Everything here acts on the calling process and cannot be taken back. */
#pragma once

#include "base/err.h"

/** Not dumpable, no core, no new privileges, killed when the thread that started it ends, memory locked as it is used where the
 * limit of locked memory has room (what is secret is locked in any case). KS_SYSTEM. */
KS_MUST_USE enum ks_err ks_sandbox_limits(void);

/** Takes the file system, TCP and what Landlock knows else from the calling thread and all that it starts, but for reading and
 * locking what lies under `paths`. *ret_version: of the kernel's Landlock; 0: it has none, and nothing was done. */
KS_MUST_USE enum ks_err ks_sandbox_landlock(const char *const *paths, size_t count, int *ret_version);

/** What a root needs besides after the start. */
enum ks_sandbox_needs {
	KS_SANDBOX_NOTHING,
	KS_SANDBOX_FILES,          /* calls that open and read files; Landlock says which */
	KS_SANDBOX_CONNECTIONS,    /* to use sockets that it is handed */
};

/** From here on every system call but those that the keeper needs ends the process, in all of its threads. */
KS_MUST_USE enum ks_err ks_sandbox_seccomp(enum ks_sandbox_needs needs);
