/* SPDX-License-Identifier: Apache-2.0 */
#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/ctenc.h"
#include "ringmap/ringmap_priv.h"

static const char control_name[] = "control";
static const char control_new[] = "control.new";

static bool is_sane(const struct ks_control *c)
{
	return c->magic == KS_CONTROL_MAGIC && c->version == KS_CONTROL_VERSION && c->size == KS_CONTROL_SIZE;
}

void ks_control_close(const struct ks_control *control)
{
	(void)munmap((void *)(uintptr_t)control, KS_CONTROL_SIZE);
}

/* The control file that is there, mapped; KS_CORRUPT if it is too short to be one. */
static enum ks_err map_control(int directory, uid_t owner, bool writable, struct stat *ret_stat,
			       struct ks_control **ret_control)
{
	void *memory = NULL;
	enum ks_err err;
	uint64_t size;
	int fd;

	KS_TRY(ks_ringmap_file_open(directory, control_name, writable ? O_RDWR : O_RDONLY, owner, &fd, &size));
	err = fstat(fd, ret_stat) ? KS_SYSTEM : KS_OK;
	if (err == KS_OK)
		err = size < KS_CONTROL_SIZE ? KS_CORRUPT : ks_ringmap_file_map(fd, KS_CONTROL_SIZE, writable, &memory);
	if (err == KS_OK)
		*ret_control = memory;
	close(fd);
	return err;
}

/* Under another name first: whoever opens `control` finds it whole. */
static enum ks_err make_control(int directory, const struct ks_access *access, const uint8_t boot_id[16], uint64_t last,
				struct ks_control **ret_control)
{
	struct ks_control *c;
	void *memory = NULL;
	enum ks_err err;
	int fd;

	(void)unlinkat(directory, control_new, 0);
	KS_TRY(ks_ringmap_file_make(directory, control_new, ks_ringmap_file_mode_ring(access->group), access->group,
				    KS_CONTROL_SIZE, &fd));
	err = ks_ringmap_file_map(fd, KS_CONTROL_SIZE, true, &memory);
	close(fd);
	KS_TRY(err);
	c = memory;
	c->magic = KS_CONTROL_MAGIC;
	c->version = KS_CONTROL_VERSION;
	c->size = KS_CONTROL_SIZE;
	memcpy(c->boot_id, boot_id, sizeof(c->boot_id));
	atomic_store_explicit(&c->last, last, memory_order_release);
	if (renameat(directory, control_new, directory, control_name)) {
		ks_control_close(c);
		return KS_SYSTEM;
	}
	*ret_control = c;
	return KS_OK;
}

enum ks_err ks_control_open_writer(int directory, const struct ks_access *access, const uint8_t boot_id[16],
				   struct ks_control **ret_control)
{
	struct ks_control *old = NULL;
	uint64_t last = 0;
	struct stat st;
	enum ks_err err = map_control(directory, access->owner, true, &st, &old);

	if (err == KS_OK && is_sane(old) && ks_ct_equal(old->boot_id, boot_id, 16)) {
		*ret_control = old;
		return KS_OK;
	}
	if (err == KS_OK) {
		/* Whoever still has it mapped must not wait there for ever. */
		if (is_sane(old))
			last = atomic_load_explicit(&old->last, memory_order_relaxed);
		atomic_store_explicit(&old->current, KS_CONTROL_DEAD, memory_order_seq_cst);
		ks_control_close(old);
	}
	if (err != KS_OK && err != KS_NOT_FOUND && err != KS_CORRUPT && err != KS_FORBIDDEN)
		return err;
	/* A stranger's file or a link of that name is replaced; the directory is ours, so that renaming over it is
	 * allowed. */
	return make_control(directory, access, boot_id, last, ret_control);
}

enum ks_err ks_control_open_reader(int directory, uid_t owner, const uint8_t boot_id[16], dev_t *ret_device,
				   ino_t *ret_inode, const struct ks_control **ret_control)
{
	struct ks_control *c;
	enum ks_err err = KS_OK;
	struct stat st;

	KS_TRY(map_control(directory, owner, false, &st, &c));
	if (c->magic != KS_CONTROL_MAGIC || c->size != KS_CONTROL_SIZE)
		err = KS_CORRUPT;
	else if (c->version != KS_CONTROL_VERSION)
		err = KS_VERSION;
	else if (!ks_ct_equal(c->boot_id, boot_id, 16))
		err = KS_NOT_FOUND;
	if (err != KS_OK) {
		ks_control_close(c);
		return err;
	}
	*ret_device = st.st_dev;
	*ret_inode = st.st_ino;
	*ret_control = c;
	return KS_OK;
}
