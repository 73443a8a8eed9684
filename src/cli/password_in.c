/* SPDX-License-Identifier: Apache-2.0 */
/* Passwords from a terminal, without an echo, or from a file. Never from an argument: those are everybody's to read. */
#include <errno.h>
#include <fcntl.h>
#include <termios.h>
#include <unistd.h>

#include "base/ctenc.h"
#include "base/secret.h"
#include "cli/cli.h"

/* One line, byte by byte: stdio would keep a copy. False: none, or too long. */
static bool read_line(int fd, struct ks_buf *line)
{
	char c;
	ssize_t n;

	while ((n = read(fd, &c, 1)) != 0) {
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 || c == '\n')
			break;
		ks_buf_put_byte(line, c);
	}
	return ks_buf_ok(line) && (n > 0 || (n == 0 && line->n > 0));
}

static bool ask(int fd, const char *prompt, struct ks_buf *line)
{
	struct termios before, silent;
	bool ok;

	if (tcgetattr(fd, &before) != 0)
		return false;
	silent = before;
	/* Nor is it interrupted: the terminal would stay silent. */
	silent.c_lflag &= ~(tcflag_t)(ECHO | ECHOE | ECHOK | ISIG);
	silent.c_lflag |= ECHONL | ICANON;
	if (tcsetattr(fd, TCSAFLUSH, &silent) != 0)
		return false;
	ok = dprintf(fd, "%s", prompt) > 0 && read_line(fd, line) && !ks_str_has_control(ks_buf_str(line));
	(void)tcsetattr(fd, TCSAFLUSH, &before);
	return ok;
}

static int from_terminal(struct ks_cli *cli, struct ks_buf *password)
{
	char text[KS_CLI_PASSWORD_MAX + 1];
	struct ks_buf again = KS_BUF(text);
	int fd = open("/dev/tty", O_RDWR | O_NOCTTY | O_CLOEXEC);
	bool same;
	bool ok;

	if (fd < 0)
		return ks_cli_fail(cli, KS_EXIT_USAGE, "there is no terminal to ask for the password: --password-file is needed");
	ok = ask(fd, "Password: ", password) && ask(fd, "Again: ", &again);
	close(fd);
	same = ok && ks_ct_str_equal(ks_buf_str(password), ks_buf_str(&again));
	ks_wipe(text, sizeof(text));
	if (!ok)
		return ks_cli_fail(cli, KS_EXIT_FAILED, "no password was given");
	return same ? KS_EXIT_DONE : ks_cli_fail(cli, KS_EXIT_FAILED, "the two are not the same");
}

static int from_file(struct ks_cli *cli, const char *path, struct ks_buf *password)
{
	bool is_input = ks_str_eq(ks_str_c(path), KS_STR("-"));
	int fd = is_input ? STDIN_FILENO : open(path, O_RDONLY | O_CLOEXEC);
	bool ok;

	if (fd < 0)
		return ks_cli_fail(cli, KS_EXIT_FAILED, "%s: %s", path, strerrordesc_np(errno));
	ok = read_line(fd, password);
	if (!is_input)
		close(fd);
	return ok ? KS_EXIT_DONE : ks_cli_fail(cli, KS_EXIT_FAILED, "%s: its first line is no password", path);
}

int ks_cli_password(struct ks_cli *cli, struct ks_buf *password)
{
	const char *path = ks_cli_option(cli, "password-file");

	return path ? from_file(cli, path, password) : from_terminal(cli, password);
}
