/* SPDX-License-Identifier: Apache-2.0 */
/* Feeds each file of the directories named on the command line to a fuzz target: what once was found stays found, also
 * where the compiler has no fuzzer. */
#include <dirent.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#define FILE_MAX ((size_t)16 << 20)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Feeds one file; false (and a message) if it cannot be read. */
static int replay_file(const char *path, size_t size)
{
	FILE *file = fopen(path, "rb");
	/* Exactly as large as the file, so that a read too far is found out. */
	uint8_t *data = malloc(size ? size : 1);
	int ok = file && data && fread(data, 1, size, file) == size;

	if (ok)
		(void)LLVMFuzzerTestOneInput(data, size);
	else
		fprintf(stderr, "%s: cannot be read\n", path);
	free(data);
	if (file)
		fclose(file);
	return ok;
}

/* Feeds the regular files of a directory; the number of them, or -1. */
static long replay_directory(const char *name)
{
	DIR *directory = opendir(name);
	struct dirent *entry;
	long count = 0;

	if (!directory) {
		perror(name);
		return -1;
	}
	while (count >= 0 && (entry = readdir(directory))) {
		char path[4096];
		struct stat about;
		int n = snprintf(path, sizeof(path), "%s/%s", name, entry->d_name);

		if (n < 0 || (size_t)n >= sizeof(path) || stat(path, &about)) {
			fprintf(stderr, "%s/%s: cannot be read\n", name, entry->d_name);
			count = -1;
		} else if (S_ISREG(about.st_mode)) {
			size_t size = (size_t)about.st_size;

			count = size <= FILE_MAX && replay_file(path, size) ? count + 1 : -1;
		}
	}
	closedir(directory);
	return count;
}

int main(int argc, char **argv)
{
	long total = 0;

	for (int i = 1; i < argc; i++) {
		long count = replay_directory(argv[i]);

		if (count < 0)
			return 1;
		if (count == 0)
			fprintf(stderr, "%s: no files\n", argv[i]);
		total += count;
	}
	printf("%ld inputs replayed\n", total);
	return total > 0 ? 0 : 1;
}
