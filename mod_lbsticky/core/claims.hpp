// What a request says of its session and its worker, before anybody is asked whether it is true.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

#include "core/placement.hpp"
#include "core/session_name.hpp"

namespace lbsticky {

// What is configured for a balancer. Views: they must outlive what is read by them.
struct Rules {
    std::span<const SessionName> names = {};    // where a session id may stand; the first one present counts
    char separator = '.';                       // between id and route; '\0': the whole value is the route
    bool nofailover = false;                    // rather refuse than send a session to another worker
    bool hash = true;                           // LBStickyHash
    std::string_view cookie_name;               // of the balancer's own cookie; empty: it has none
    bool has_secret = false;                    // LBStickySecretFile: workers are known by tokens
    Placement placement = Placement::rotation;  // LBStickyPlace
    Limits limits;                              // LBStickyLimit
    bool go_by_time = false;                    // whose turn it is depends on when a request came (LBStickySlowStart)
};

// Reads what stands neither in a cookie nor in the URL of a request.
class OtherPlaces {
public:
    // The value of a header or an expression; empty if the request has none. Valid as long as the request.
    virtual std::string_view value_of(const SessionName& name) const noexcept = 0;

protected:
    ~OtherPlaces() = default;
};

// The parts of a request in which something is looked for. Views.
struct RequestText {
    std::string_view cookies;      // the Cookie header, empty where there is none
    std::string_view url;          // as the client sent it: path and query
    std::string_view proxied_url;  // as it goes to a member: rules may have put a session id into it
    const char* client_address = "";
    Milliseconds now = 0;                 // when it came, if the rules go by that
    const OtherPlaces* others = nullptr;  // asked for what is configured to stand there; null: nothing does
};

// The first sixteen values of a name; what comes after them is not looked at, so that no request costs more.
class FewValues {
public:
    static constexpr std::size_t most = 16;

    void add(std::string_view value) noexcept { values_[count_++] = {value.data(), value.size()}; }
    std::size_t size() const noexcept { return count_; }
    bool empty() const noexcept { return count_ == 0; }
    bool is_full() const noexcept { return count_ == most; }
    std::string_view operator[](std::size_t i) const noexcept { return {values_[i].data, values_[i].size}; }

private:
    struct Value {
        const char* data;
        std::size_t size;
    };
    Value values_[most];  // unwritten until they are needed: there is hardly ever more than one
    std::size_t count_ = 0;
};

// What a request says. Views of its text and of the rules.
struct Claims {
    const SessionName* from = nullptr;  // the configured name under which a session id was found; null: there is none
    std::string_view session_name;      // the part of it that has it: the cookie, the parameter, header:…
    FewValues sessions;                 // the values of that name, none of them empty: of a parameter one
    // Where a session with one of them is remembered to be: Roster::find_by_hash().
    std::optional<std::uint64_t> learned;
    FewValues cookies;                // the values of the balancer's own cookie
    const char* client_address = "";  // stands for the id where a worker is named without one
    Milliseconds now = 0;             // when the request came

    // Whether the session id is all id: no route is looked for in what an expression says.
    bool is_all_id() const noexcept { return from && from->where == Where::expression; }
};

// Reads a request: of the session names the first that is present, the parameter in the URL (that which goes to a
// member, else that which the client sent) before the cookie. What stands elsewhere is asked for when its turn comes.
// One pass over URLs and header a name; no allocation, no lock. Takes any bytes.
Claims read_claims(const RequestText& request, const Rules& rules) noexcept;

}  // namespace lbsticky
