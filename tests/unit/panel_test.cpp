#include "core/panel.hpp"

#include <vector>

#include "catch.hpp"
#include "report_support.hpp"

namespace lbsticky {

// clang-format off

TEST_CASE("the panel of a balancer", "[panel]") {
    CHECK(panel_html(shop(), false) == R"(<div class='lbsticky'>
<h4>Session persistence</h4>
<ul>
<li>Session id: <code>JSESSIONID|jsessionid</code> <code>sid</code></li>
<li>Own cookie: <code>lbsticky_shop; Path=/; HttpOnly</code>, given where it is needed, not signed: 20 given, 2 not understood</li>
<li>Session ids without a known route: placed by consistent hashing: 41 requests</li>
<li>Learned sessions: 5 of 65536 in the table, until they are idle for 1 h; 2 evicted, 1 not learned for want of room</li>
<li>Store: <code>redis://store:6379</code>, here; look-ups by result: hit 11, miss 12, unanswered 13, remembered 14, capped 15, away 16; 17 stored, 18 dropped, 19 failures</li>
<li>New sessions: placed by busyness; limits, requests in flight for a load factor of 1: new=100, all=150</li>
<li>Refused: 3 requests</li>
</ul>
<table><caption>Members, those first that need a look; their requests by affinity</caption>
<thead><tr><th scope=col>Member<th scope=col>Status<th scope=col>In flight<th scope=col>Sessions<th scope=col>Share by weight<th scope=col>Share of new sessions<th scope=col>Last sticky request<th scope=col>Moved away<th scope=col>cookie<th scope=col>route<th scope=col>learned<th scope=col>hash<th scope=col>new<th scope=col>failover<th scope=col>overload<th scope=col>Route<th scope=col>Cookie value</tr>
<tr><th scope=row>3 members<td>1 drained, 1 recovering, 1 usable<td>5<td>1235<td><td><td><td>6<td>11<td>22<td>77<td>33<td>50<td>55<td>60<td><td></tr>
</thead>
<tbody>
<tr class=t><th scope=row>http://10.0.0.2:8080<td>drained, drain began 5 min ago<td>0<td>1<td><i style=--w:0.0%></i>0.0%<td><i style=--w:0.0%></i>0.0%<td>2 min ago<td>0<td>1<td>2<td>7<td>3<td>10<td>5<td>0<td>node2<td>.node2</tr>
<tr class=t><th scope=row>http://10.0.0.3:8080<td>recovering for 7 s: 25% of its share, standby, spare<td>0<td>0<td><i style=--w:7.7%></i>7.7%<td><i style=--w:10.0%></i>10.0%<td>never<td>0<td>0<td>0<td>0<td>0<td>0<td>0<td>0<td><td>.0123456789abcdef</tr>
<tr><th scope=row>http://10.0.0.1:8080<td>usable<td>5<td>1234<td><i style=--w:92.3%></i>92.3%<td><i style=--w:76.9%></i>76.9%<td>3 s ago<td>6<td>10<td>20<td>70<td>30<td>40<td>50<td>60<td>node1<td>.node1</tr>
</tbody></table>
</div>
)");
}

TEST_CASE("nothing in a configuration can break out of the panel", "[panel]") {
    CHECK(panel_html(hostile(), false) == R"(<div class='lbsticky'>
<h4>Session persistence</h4>
<ul>
<li>Session id: <code>&lt;script&gt;</code></li>
<li>Own cookie: <code>&quot;&gt;&lt;img&gt;; Path=/&lt;p&gt;</code>, given to every client, not signed: 0 given, 0 not understood</li>
<li>Session ids without a known route: placed like new sessions: 0 requests</li>
<li>New sessions: placed by rotation</li>
<li>Refused: 0 requests</li>
</ul>
<table><caption>Members, those first that need a look; their requests by affinity</caption>
<thead><tr><th scope=col>Member<th scope=col>Status<th scope=col>In flight<th scope=col>Sessions<th scope=col>Share by weight<th scope=col>Share of new sessions<th scope=col>Last sticky request<th scope=col>Moved away<th scope=col>cookie<th scope=col>route<th scope=col>learned<th scope=col>hash<th scope=col>new<th scope=col>failover<th scope=col>overload<th scope=col>Route<th scope=col>Cookie value</tr>
<tr><th scope=row>1 member<td>1 probing<td>0<td>0<td><td><td><td>0<td>0<td>0<td>0<td>0<td>0<td>0<td>0<td><td></tr>
</thead>
<tbody>
<tr class=t><th scope=row>http://&lt;u&gt;&#39;&quot;<td>in error, probing by one request, draining<td>0<td>0<td><i style=--w:0.0%></i>0.0%<td><i style=--w:0.0%></i>0.0%<td>never<td>0<td>0<td>0<td>0<td>0<td>0<td>0<td>0<td>&lt;/table&gt;&#65533;<td>.&lt;/table&gt;</tr>
</tbody></table>
</div>
)");
}

TEST_CASE("the panel of a balancer in XML", "[panel]") {
    CHECK(panel_xml(shop()) == R"(<httpd:sticky>
        <httpd:session>JSESSIONID|jsessionid</httpd:session>
        <httpd:session>sid</httpd:session>
        <httpd:hash>On</httpd:hash>
        <httpd:place>busyness</httpd:place>
        <httpd:limit_new>100</httpd:limit_new>
        <httpd:limit_all>150</httpd:limit_all>
        <httpd:cookie>lbsticky_shop</httpd:cookie>
        <httpd:cookie_given>auto</httpd:cookie_given>
        <httpd:cookie_attributes>; Path=/; HttpOnly</httpd:cookie_attributes>
        <httpd:secret>Off</httpd:secret>
        <httpd:refused>3</httpd:refused>
        <httpd:cookies_issued>20</httpd:cookies_issued>
        <httpd:cookies_unknown>2</httpd:cookies_unknown>
        <httpd:cookies_outdated>3</httpd:cookies_outdated>
        <httpd:ids_too_long>0</httpd:ids_too_long>
        <httpd:unknown_routes>41</httpd:unknown_routes>
        <httpd:table_sessions>5</httpd:table_sessions>
        <httpd:table_places>65536</httpd:table_places>
        <httpd:table_idle>3600</httpd:table_idle>
        <httpd:table_evicted>2</httpd:table_evicted>
        <httpd:table_dropped>1</httpd:table_dropped>
        <httpd:store>redis://store:6379</httpd:store>
        <httpd:store_state>here</httpd:store_state>
        <httpd:store_look_ups result='hit'>11</httpd:store_look_ups>
        <httpd:store_look_ups result='miss'>12</httpd:store_look_ups>
        <httpd:store_look_ups result='unanswered'>13</httpd:store_look_ups>
        <httpd:store_look_ups result='remembered'>14</httpd:store_look_ups>
        <httpd:store_look_ups result='capped'>15</httpd:store_look_ups>
        <httpd:store_look_ups result='away'>16</httpd:store_look_ups>
        <httpd:store_stored>17</httpd:store_stored>
        <httpd:store_dropped>18</httpd:store_dropped>
        <httpd:store_failures>19</httpd:store_failures>
        <httpd:member>
            <httpd:name>http://10.0.0.1:8080</httpd:name>
            <httpd:status>usable</httpd:status>
            <httpd:route>node1</httpd:route>
            <httpd:cookie_value>.node1</httpd:cookie_value>
            <httpd:wanted>92.3%</httpd:wanted>
            <httpd:new_sessions>76.9%</httpd:new_sessions>
            <httpd:requests affinity='cookie'>10</httpd:requests>
            <httpd:requests affinity='route'>20</httpd:requests>
            <httpd:requests affinity='learned'>70</httpd:requests>
            <httpd:requests affinity='hash'>30</httpd:requests>
            <httpd:requests affinity='new'>40</httpd:requests>
            <httpd:requests affinity='failover'>50</httpd:requests>
            <httpd:requests affinity='overload'>60</httpd:requests>
            <httpd:moved_away>6</httpd:moved_away>
            <httpd:in_flight>5</httpd:in_flight>
            <httpd:sessions>1234</httpd:sessions>
            <httpd:last_sticky_request_age>3</httpd:last_sticky_request_age>
        </httpd:member>
        <httpd:member>
            <httpd:name>http://10.0.0.2:8080</httpd:name>
            <httpd:status>usable draining drained</httpd:status>
            <httpd:route>node2</httpd:route>
            <httpd:cookie_value>.node2</httpd:cookie_value>
            <httpd:wanted>0.0%</httpd:wanted>
            <httpd:new_sessions>0.0%</httpd:new_sessions>
            <httpd:requests affinity='cookie'>1</httpd:requests>
            <httpd:requests affinity='route'>2</httpd:requests>
            <httpd:requests affinity='learned'>7</httpd:requests>
            <httpd:requests affinity='hash'>3</httpd:requests>
            <httpd:requests affinity='new'>10</httpd:requests>
            <httpd:requests affinity='failover'>5</httpd:requests>
            <httpd:requests affinity='overload'>0</httpd:requests>
            <httpd:moved_away>0</httpd:moved_away>
            <httpd:in_flight>0</httpd:in_flight>
            <httpd:sessions>1</httpd:sessions>
            <httpd:last_sticky_request_age>125</httpd:last_sticky_request_age>
            <httpd:status_age>300</httpd:status_age>
            <httpd:draining_seconds>300</httpd:draining_seconds>
            <httpd:drain_deadline_seconds>600</httpd:drain_deadline_seconds>
        </httpd:member>
        <httpd:member>
            <httpd:name>http://10.0.0.3:8080</httpd:name>
            <httpd:status>usable standby spare recovering</httpd:status>
            <httpd:route></httpd:route>
            <httpd:cookie_value>.0123456789abcdef</httpd:cookie_value>
            <httpd:wanted>7.7%</httpd:wanted>
            <httpd:new_sessions>10.0%</httpd:new_sessions>
            <httpd:requests affinity='cookie'>0</httpd:requests>
            <httpd:requests affinity='route'>0</httpd:requests>
            <httpd:requests affinity='learned'>0</httpd:requests>
            <httpd:requests affinity='hash'>0</httpd:requests>
            <httpd:requests affinity='new'>0</httpd:requests>
            <httpd:requests affinity='failover'>0</httpd:requests>
            <httpd:requests affinity='overload'>0</httpd:requests>
            <httpd:moved_away>0</httpd:moved_away>
            <httpd:in_flight>0</httpd:in_flight>
            <httpd:sessions>0</httpd:sessions>
            <httpd:status_age>7</httpd:status_age>
        </httpd:member>
      </httpd:sticky>)");
}

TEST_CASE("nothing in a configuration can break out of the XML", "[panel]") {
    CHECK(panel_xml(hostile()) == R"(<httpd:sticky>
        <httpd:session>&lt;script&gt;</httpd:session>
        <httpd:hash>Off</httpd:hash>
        <httpd:place>rotation</httpd:place>
        <httpd:limit_new>0</httpd:limit_new>
        <httpd:limit_all>0</httpd:limit_all>
        <httpd:cookie>&quot;&gt;&lt;img&gt;</httpd:cookie>
        <httpd:cookie_given>always</httpd:cookie_given>
        <httpd:cookie_attributes>; Path=/&lt;p&gt;</httpd:cookie_attributes>
        <httpd:secret>Off</httpd:secret>
        <httpd:refused>0</httpd:refused>
        <httpd:cookies_issued>0</httpd:cookies_issued>
        <httpd:cookies_unknown>0</httpd:cookies_unknown>
        <httpd:cookies_outdated>0</httpd:cookies_outdated>
        <httpd:ids_too_long>0</httpd:ids_too_long>
        <httpd:unknown_routes>0</httpd:unknown_routes>
        <httpd:member>
            <httpd:name>http://&lt;u&gt;&#39;&quot;</httpd:name>
            <httpd:status>draining in_error probing</httpd:status>
            <httpd:route>&lt;/table&gt;&#65533;</httpd:route>
            <httpd:cookie_value>.&lt;/table&gt;</httpd:cookie_value>
            <httpd:wanted>0.0%</httpd:wanted>
            <httpd:new_sessions>0.0%</httpd:new_sessions>
            <httpd:requests affinity='cookie'>0</httpd:requests>
            <httpd:requests affinity='route'>0</httpd:requests>
            <httpd:requests affinity='hash'>0</httpd:requests>
            <httpd:requests affinity='new'>0</httpd:requests>
            <httpd:requests affinity='failover'>0</httpd:requests>
            <httpd:requests affinity='overload'>0</httpd:requests>
            <httpd:moved_away>0</httpd:moved_away>
            <httpd:in_flight>0</httpd:in_flight>
            <httpd:sessions>0</httpd:sessions>
        </httpd:member>
      </httpd:sticky>)");
}

// clang-format on

TEST_CASE("the first panel of a page has the style sheet, and is otherwise the same", "[panel]") {
    std::string with = panel_html(shop(), true);
    const auto style = with.find("<style>");
    const auto end = with.find("</style>\n");
    REQUIRE((style != std::string::npos && end != std::string::npos));
    const auto meta = with.find("<meta name='viewport'");
    CHECK(meta < style);
    with.erase(meta, end + 9 - meta);
    CHECK(with == panel_html(shop(), false));
}

TEST_CASE("a balancer without anything has a panel too", "[panel]") {
    const std::string html = panel_html({}, false);
    CHECK(html.find("<li>Session id: none is looked for</li>") != std::string::npos);
    CHECK(html.find("<li>Own cookie: none</li>") != std::string::npos);
    CHECK(html.find("0 members") != std::string::npos);
    CHECK(html.find("<i ") == std::string::npos);
    const std::string xml = panel_xml({});
    CHECK(xml.find("cookie_given") == std::string::npos);
    CHECK(xml.find("<httpd:member>") == std::string::npos);
}

TEST_CASE("with a secret no cookie value is shown", "[panel]") {
    BalancerReport balancer = shop();
    balancer.has_secret = true;
    balancer.workers[0].cookie = "token";  // not shown even if it is set
    const std::string html = panel_html(balancer, false);
    CHECK(html.find("signed with a secret") != std::string::npos);
    CHECK(html.find("<td>secret</tr>") != std::string::npos);
    CHECK(html.find("token") == std::string::npos);
    const std::string xml = panel_xml(balancer);
    CHECK(xml.find("<httpd:secret>On</httpd:secret>") != std::string::npos);
    CHECK(xml.find("cookie_value") == std::string::npos);
}

TEST_CASE("members that need a look come first, the others as they were", "[panel]") {
    BalancerReport balancer;
    for (int i = 0; i < 6; ++i) {
        WorkerReport worker;
        worker.url = "http://" + std::to_string(i);
        if (i == 2) worker.status.draining = true;
        if (i == 4) worker.status.in_error = true;
        balancer.add(worker);
    }
    const std::string html = panel_html(balancer, false);
    std::size_t at = html.find("<tbody>");
    for (const int i : {4, 2, 0, 1, 3, 5}) {
        at = html.find("<th scope=row>http://" + std::to_string(i) + "<td>", at);
        REQUIRE(at != std::string::npos);
        CHECK((html.substr(at - 8, 8) == "class=t>") == (i == 4 || i == 2));
    }
    // Machines find them where they are in the configuration.
    const std::string xml = panel_xml(balancer);
    CHECK(xml.find("http://0<") < xml.find("http://2<"));
    CHECK(xml.find("http://2<") < xml.find("http://4<"));
}

}  // namespace lbsticky
