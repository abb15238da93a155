// Where a session id stands in a request: in a cookie or the URL, a header, what an expression says.
#pragma once

#include <array>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "core/cookie.hpp"
#include "core/keeping.hpp"

namespace lbsticky {

// In what a session id may stand.
enum class Where { cookie_or_url, header, expression };

// How LBStickySession begins to say so. An id in a cookie or URL is named as it is.
inline constexpr std::array<std::pair<std::string_view, Where>, 2> where_words{
    {{"header:", Where::header}, {"expr:", Where::expression}}};

// Where an application puts its session id: in the cookie `cookie`, or in the URL as `parameter`; or else in `other`,
// as it is configured, with its word. Views.
struct SessionName {
    std::string_view cookie;
    std::string_view parameter;
    ParsingRules rules = ParsingRules::strict;
    Where where = Where::cookie_or_url;
    std::string_view other = {};
    Keeping keeping = Keeping::given;
    const void* compiled = nullptr;  // of an expression, for whoever evaluates it

    // The header's name, or the expression.
    std::string_view behind_word() const noexcept { return other.substr(other.find(':') + 1); }
};

// "NAME", or "COOKIE|PARAMETER" where they differ; or "header:NAME", "expr:EXPRESSION". Throws std::bad_alloc.
std::string text_of(const SessionName& name);

// Reads what text_of() gives, into views of the text: "NAME" (cookie and parameter have the same name) or
// "COOKIE|PARAMETER", as stickysession= does; "header:NAME"; "expr:EXPRESSION", which is not looked into. Nothing if a
// name may not be one; names of cookies and parameters may hold what the name of a cookie may, but no `|` and no `*`.
std::optional<SessionName> parse_session_name(std::string_view text) noexcept;

}  // namespace lbsticky
