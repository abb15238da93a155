#include "httpd/withheld.hpp"

#include <new>
#include <optional>

#include "core/cookie.hpp"
#include "httpd/headers.hpp"

namespace lbsticky {
namespace {

// Gives a request these headers of that name and no others.
void set_headers(request_rec* r, const char* name, std::span<const char* const> headers) noexcept {
    // Where there are as many, each in its place: that takes half the time.
    std::size_t count = 0;
    for (apr_table_entry_t& header : entries_of(r->headers_in)) {
        if (!is_header_called(header, name)) continue;
        if (count < headers.size()) header.val = const_cast<char*>(headers[count]);
        ++count;
    }
    if (count == headers.size()) return;
    if (headers.empty()) return apr_table_unset(r->headers_in, name);
    apr_table_setn(r->headers_in, name, headers.front());
    for (const char* header : headers.subspan(1)) apr_table_addn(r->headers_in, name, header);
}

}  // namespace

const char* Withheld::all_cookies(request_rec* r) noexcept {
    restore(r);
    const char* first = nullptr;
    bool several = false;
    for_each_header(r->headers_in, "Cookie", [&](const char* header) {
        several = first;
        if (!several) first = header;
    });
    return several ? apr_table_getm(r->pool, r->headers_in, "Cookie") : first;
}

void Withheld::take_out(const Decision& decision, request_rec* r) {
    Balancer& own = *decision.balancer;
    const Session& session = decision.session;
    // Once an id has to be looked through that decide() has not; for one header at a time, as there may be many.
    std::optional<CurrentRoster> current;
    const auto id_in = [&](std::string_view value) {
        const bool is_known = value.data() == session.value.data() && session.worker && session.further_count == 0;
        if (is_known) return session.id;
        if (!current) current.emplace(own, r->server);
        return without_last_route(value, own.httpds.s->sticky_separator, Keeping::append, current->roster);
    };
    SessionName from_stickysession;
    const auto names = own.session_names(from_stickysession);
    shorten(r, "Cookie", [&](std::string_view header, char* kept) {
        for (const SessionName& name : names)
            if (name.keeping == Keeping::append) header = {kept, with_shorter_values(header, name.cookie, kept, id_in)};
        current.reset();
        return decision.has_cookie ? without_cookie(header, own.cookie_name, kept) : header.size();
    });
    for (const SessionName& name : names)
        if (name.keeping == Keeping::append && name.where == Where::header)
            shorten(r, name.behind_word().data(), [&](std::string_view header, char* kept) {
                const std::size_t size = with_shorter_value(header, kept, id_in);
                current.reset();
                return size;
            });
}

// Gives the request shorter headers of that name: shortened(header, kept) writes what stays, and returns how long it
// is.
template <typename Shortened>
void Withheld::shorten(request_rec* r, const char* name, Shortened&& shortened) {
    const std::size_t most = entries_of(r->headers_in).size();
    auto** as_sent = static_cast<const char**>(apr_palloc(r->pool, 2 * most * sizeof(const char*)));
    auto** headers = as_sent + most;
    std::size_t sent = 0, count = 0;
    bool is_shorter = false;
    for_each_header(r->headers_in, name, [&](const char* text) {
        const std::string_view header = text;
        auto* kept = static_cast<char*>(apr_palloc(r->pool, header.size() + 1));
        const std::size_t size = shortened(header, kept);
        kept[size] = '\0';
        is_shorter = is_shorter || size < header.size();
        as_sent[sent++] = text;
        if (size > 0) headers[count++] = kept;
    });
    if (!is_shorter) return;
    set_headers(r, name, {headers, count});
    sent_ = new (apr_palloc(r->pool, sizeof(Sent))) Sent{name, {as_sent, sent}, sent_};
}

void Withheld::restore(request_rec* r) noexcept {
    for (; sent_; sent_ = sent_->next) set_headers(r, sent_->name, sent_->headers);
}

}  // namespace lbsticky
