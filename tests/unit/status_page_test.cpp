#include "core/status_page.hpp"

#include <vector>

#include "catch.hpp"
#include "report_support.hpp"

namespace lbsticky {

// clang-format off

TEST_CASE("a section of mod_status' page", "[status_page]") {
    CHECK(status_html(std::vector{shop(), hostile()}) == R"(<hr />
<h2>Session persistence (lbmethod sticky)</h2>
<table border='0'><tr><th>Balancer</th><th>cookie</th><th>route</th><th>learned</th><th>hash</th><th>new</th><th>failover</th><th>overload</th><th>In flight</th><th>Sessions</th><th>Moved away</th><th>Refused</th><th>Cookies given</th><th>Cookies not understood</th><th>Cookies of older secrets</th><th>Members</th><th>Failing</th><th>Draining</th><th>Recovering</th><th>Probing</th><th>Drained</th><th>Learned sessions</th></tr>
<tr><td>shop</td><td>11</td><td>23</td><td>80</td><td>33</td><td>52</td><td>55</td><td>61</td><td>5</td><td>1235</td><td>11</td><td>3</td><td>20</td><td>2</td><td>3</td><td>3</td><td>0</td><td>1</td><td>1</td><td>0</td><td>1</td><td>5</td></tr>
<tr><td>&lt;b&gt;&quot;&#39;&amp;\&#65533; (&quot;&lt;i&gt;)</td><td>0</td><td>0</td><td>0</td><td>0</td><td>0</td><td>0</td><td>0</td><td>0</td><td>0</td><td>0</td><td>0</td><td>0</td><td>0</td><td>0</td><td>1</td><td>1</td><td>1</td><td>0</td><td>1</td><td>0</td><td>0</td></tr>
</table>
)");
}

TEST_CASE("lines of mod_status for machines", "[status_page]") {
    CHECK(status_lines(std::vector{shop(), hostile()}) == R"(StickyBalancer[0]Name: shop
StickyBalancer[0]Cookie: 11
StickyBalancer[0]Route: 23
StickyBalancer[0]Learned: 80
StickyBalancer[0]Hash: 33
StickyBalancer[0]New: 52
StickyBalancer[0]Failover: 55
StickyBalancer[0]Overload: 61
StickyBalancer[0]InFlight: 5
StickyBalancer[0]Sessions: 1235
StickyBalancer[0]MovedAway: 11
StickyBalancer[0]Refused: 3
StickyBalancer[0]CookiesIssued: 20
StickyBalancer[0]CookiesUnknown: 2
StickyBalancer[0]CookiesOutdated: 3
StickyBalancer[0]Members: 3
StickyBalancer[0]Failing: 0
StickyBalancer[0]Draining: 1
StickyBalancer[0]Recovering: 1
StickyBalancer[0]Probing: 0
StickyBalancer[0]Drained: 1
StickyBalancer[0]LearnedSessions: 5
StickyBalancer[0]LearnedEvicted: 2
StickyBalancer[0]StoreState: here
StickyBalancer[0]StoreHits: 11
StickyBalancer[0]StoreMisses: 12
StickyBalancer[0]StoreFailures: 19
StickyBalancer[1]Name: <b>\"'&\\\n (\"<i>)
StickyBalancer[1]Cookie: 0
StickyBalancer[1]Route: 0
StickyBalancer[1]Learned: 0
StickyBalancer[1]Hash: 0
StickyBalancer[1]New: 0
StickyBalancer[1]Failover: 0
StickyBalancer[1]Overload: 0
StickyBalancer[1]InFlight: 0
StickyBalancer[1]Sessions: 0
StickyBalancer[1]MovedAway: 0
StickyBalancer[1]Refused: 0
StickyBalancer[1]CookiesIssued: 0
StickyBalancer[1]CookiesUnknown: 0
StickyBalancer[1]CookiesOutdated: 0
StickyBalancer[1]Members: 1
StickyBalancer[1]Failing: 1
StickyBalancer[1]Draining: 1
StickyBalancer[1]Recovering: 0
StickyBalancer[1]Probing: 1
StickyBalancer[1]Drained: 0
)");
}

// clang-format on

}  // namespace lbsticky
