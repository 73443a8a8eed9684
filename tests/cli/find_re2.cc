/* SPDX-License-Identifier: Apache-2.0 */
/* find_re2 EXPRESSION: for each line of standard input the first match of the expression by RE2 (the dialect of Go's programs) and,
 * where it has a group, of that, a line each; an empty line for none. Exit code 2: RE2 does not take the expression. */
#include <iostream>
#include <re2/re2.h>
#include <string>

int main(int argc, char **argv)
{
	re2::RE2::Options options(re2::RE2::Quiet);
	re2::RE2 expression(argc == 2 ? argv[1] : "(", options);
	std::string line;

	if (!expression.ok()) {
		std::cerr << expression.error() << "\n";
		return 2;
	}
	while (std::getline(std::cin, line)) {
		re2::StringPiece found[2];
		int groups = expression.NumberOfCapturingGroups() > 0 ? 2 : 1;

		if (expression.Match(line, 0, line.size(), re2::RE2::UNANCHORED, found, groups))
			std::cout << found[groups - 1];
		std::cout << "\n";
	}
	return 0;
}
