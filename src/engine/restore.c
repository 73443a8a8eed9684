/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>

#include "engine/engine_priv.h"

static enum ks_err restore(struct ks_engine *engine, const char *path, struct ks_engine_problem *problem)
{
	enum ks_err err;

	KS_TRY(ks_place_claim(engine, problem));
	KS_TRY(ks_place_store(engine));
	err = ks_store_restore(path, engine->store_uri);
	if (err != KS_OK)
		return ks_engine_problem(problem, err, "%s cannot be restored: %s (%s)", path, ks_err_text(err),
					 ks_store_error(NULL));
	return KS_OK;
}

/* The data directory is held as by an engine, so that none can be opened meanwhile. */
enum ks_err ks_engine_restore(const struct ks_engine_options *options, const char *path,
			      struct ks_engine_problem *ret_problem)
{
	struct ks_engine engine = {.options = *options, .lock_fd = -1};
	enum ks_err err;

	ret_problem->text[0] = '\0';
	if (!options->data_directory || options->data_directory[0] == '\0')
		return ks_engine_problem(ret_problem, KS_MALFORMED, "no data directory is given");
	engine.options.create = true;
	err = restore(&engine, path, ret_problem);
	if (err != KS_OK && ret_problem->text[0] == '\0')
		(void)ks_engine_problem(ret_problem, err, "%s", ks_err_text(err));
	ks_place_release(&engine);
	free(engine.data_directory);
	free(engine.store_uri);
	return err;
}
