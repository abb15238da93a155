#include <filesystem>
#include <fstream>
#include <string>
#include <string_view>

#include "catch.hpp"

namespace lbsticky {
namespace {

// What a line includes; empty if it is no #include.
std::string included_by(std::string line) {
    const auto skip_blanks = [&line] { line.erase(0, line.find_first_not_of(" \t")); };
    skip_blanks();
    if (!line.starts_with('#')) return "";
    line.erase(0, 1);
    skip_blanks();
    if (!line.starts_with("include")) return "";
    line.erase(0, std::string_view("include").size());
    skip_blanks();
    return line;
}

// A header of httpd, of APR, or of the operating system has a dot in its name.
bool is_allowed(std::string_view header) {
    constexpr std::string_view in_a_name = "abcdefghijklmnopqrstuvwxyz0123456789_";
    if (header.starts_with('<'))
        return header.find_first_not_of(in_a_name, 1) == header.size() - 1 && header.ends_with('>');
    constexpr std::string_view own = "\"core/";
    return header.starts_with(own) && header.substr(header.find_first_not_of(in_a_name, own.size())) == ".hpp\"";
}

}  // namespace

TEST_CASE("the core includes standard C++ headers and its own, and nothing else", "[core]") {
    int files = 0;
    int includes = 0;
    for (const auto& entry : std::filesystem::directory_iterator(LBSTICKY_CORE_DIR)) {
        ++files;
        std::ifstream source(entry.path());
        for (std::string line; std::getline(source, line);) {
            const std::string header = included_by(line);
            if (header.empty()) continue;
            ++includes;
            INFO(entry.path().string() << ": " << line);
            CHECK(is_allowed(header));
        }
    }
    CHECK(files >= 10);
    CHECK(includes >= files);
}

TEST_CASE("an include of anything else would be noticed", "[core]") {
    for (const std::string line : {"#include \"httpd.h\"", "#include <apr.h>", "  #  include <apr_strings.h>",
                                   "#include <unistd.h>", "#include <sys/mman.h>", "#include \"httpd/provider.hpp\"",
                                   "#include \"core/../httpd/apache.hpp\"", "#include SOMETHING", "#include <vector.h>",
                                   "#include \"core/worker.h\"", "#include<httpd.h>", "#include <vector> <apr.h>"}) {
        CAPTURE(line);
        CHECK_FALSE(included_by(line).empty());
        CHECK_FALSE(is_allowed(included_by(line)));
    }
    CHECK(is_allowed(included_by("#include <vector>")));
    CHECK(is_allowed(included_by("#include \"core/hash64.hpp\"")));
    CHECK(included_by("// #include <apr.h>").empty());
}

}  // namespace lbsticky
