/* SPDX-License-Identifier: Apache-2.0 */
/* Every file of broken/ is refused at the place, and with words, that its first line says: "# line:column words". */
#include "fixture.h"

#include <dirent.h>

#define FILES_AT_LEAST 90
#define FILE_MAX ((size_t)64 << 10)

static struct ks_str read_whole(const char *path, char *bytes)
{
	FILE *file = fopen(path, "rb");

	assert_non_null(file);
	size_t n = fread(bytes, 1, FILE_MAX, file);
	assert_true(n > 0 && n < FILE_MAX);
	fclose(file);
	return ks_str_of(bytes, n);
}

/* One file; complains on standard error, so that all wrong ones are seen at once. */
static bool refused_as_said(const char *directory, const char *name)
{
	static char bytes[FILE_MAX];
	char path[4096], want[512], said[640];
	struct ks_platform_problem problem = {0};
	struct ks_platform_registry *registry = NULL;
	struct ks_str head, tail;
	unsigned line, column;
	int words = 0;

	snprintf(path, sizeof(path), "%s/%s", directory, name);
	struct ks_platform_source source = {"acme.yaml", read_whole(path, bytes), false};
	assert_true(ks_str_split(source.text, '\n', &head, &tail));
	snprintf(want, sizeof(want), "%.*s", KS_STR_ARG(head));
	assert_int_equal(sscanf(want, "# %u:%u %n", &line, &column, &words), 2);
	enum ks_err err = ks_platform_registry_new(&source, 1, &registry, &problem);
	snprintf(said, sizeof(said), "# %u:%u %s", problem.line, problem.column, problem.text);
	if (err == KS_MALFORMED && !registry && problem.line == line && problem.column == column &&
	    strstr(problem.text, &want[words]) && strcmp(problem.file, "acme.yaml") == 0)
		return true;
	fprintf(stderr, "%s: %s\n  want %s\n  said %s\n", name, ks_err_name(err), want, said);
	ks_platform_registry_release(&registry);
	return false;
}

static void every_broken_file_is_refused_as_it_says(void **state)
{
	const char *root = getenv("KEYSTILE_SOURCE");
	char directory[2048];
	unsigned count = 0, wrong = 0;

	(void)state;
	snprintf(directory, sizeof(directory), "%s/tests/unit/platform/broken", root ? root : ".");
	DIR *files = opendir(directory);
	assert_non_null(files);
	for (const struct dirent *file = readdir(files); file; file = readdir(files)) {
		if (file->d_name[0] == '.')
			continue;
		count++;
		wrong += !refused_as_said(directory, file->d_name);
	}
	closedir(files);
	assert_true(count >= FILES_AT_LEAST);
	assert_int_equal(wrong, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_broken_file_is_refused_as_it_says),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
