#include "core/metrics.hpp"

#include <vector>

#include "catch.hpp"
#include "report_support.hpp"

namespace lbsticky {

// clang-format off

TEST_CASE("the state of a balancer for Prometheus", "[metrics]") {
    CHECK(metrics(std::vector{shop()}, "1.2.3", MetricsFormat::prometheus) == R"(# HELP lbsticky_info Version of mod_lbmethod_sticky.
# TYPE lbsticky_info gauge
lbsticky_info{version="1.2.3"} 1
# HELP lbsticky_requests_total Requests that a worker was chosen for, by affinity: why it was that worker.
# TYPE lbsticky_requests_total counter
lbsticky_requests_total{balancer="shop",worker="http://10.0.0.1:8080",affinity="cookie"} 10
lbsticky_requests_total{balancer="shop",worker="http://10.0.0.1:8080",affinity="route"} 20
lbsticky_requests_total{balancer="shop",worker="http://10.0.0.1:8080",affinity="learned"} 70
lbsticky_requests_total{balancer="shop",worker="http://10.0.0.1:8080",affinity="hash"} 30
lbsticky_requests_total{balancer="shop",worker="http://10.0.0.1:8080",affinity="new"} 40
lbsticky_requests_total{balancer="shop",worker="http://10.0.0.1:8080",affinity="failover"} 50
lbsticky_requests_total{balancer="shop",worker="http://10.0.0.1:8080",affinity="overload"} 60
lbsticky_requests_total{balancer="shop",worker="http://10.0.0.2:8080",affinity="cookie"} 1
lbsticky_requests_total{balancer="shop",worker="http://10.0.0.2:8080",affinity="route"} 2
lbsticky_requests_total{balancer="shop",worker="http://10.0.0.2:8080",affinity="learned"} 7
lbsticky_requests_total{balancer="shop",worker="http://10.0.0.2:8080",affinity="hash"} 3
lbsticky_requests_total{balancer="shop",worker="http://10.0.0.2:8080",affinity="new"} 10
lbsticky_requests_total{balancer="shop",worker="http://10.0.0.2:8080",affinity="failover"} 5
lbsticky_requests_total{balancer="shop",worker="http://10.0.0.2:8080",affinity="overload"} 0
lbsticky_requests_total{balancer="shop",worker="http://10.0.0.3:8080",affinity="cookie"} 0
lbsticky_requests_total{balancer="shop",worker="http://10.0.0.3:8080",affinity="route"} 0
lbsticky_requests_total{balancer="shop",worker="http://10.0.0.3:8080",affinity="learned"} 0
lbsticky_requests_total{balancer="shop",worker="http://10.0.0.3:8080",affinity="hash"} 0
lbsticky_requests_total{balancer="shop",worker="http://10.0.0.3:8080",affinity="new"} 0
lbsticky_requests_total{balancer="shop",worker="http://10.0.0.3:8080",affinity="failover"} 0
lbsticky_requests_total{balancer="shop",worker="http://10.0.0.3:8080",affinity="overload"} 0
lbsticky_requests_total{balancer="shop",worker="gone",affinity="cookie"} 0
lbsticky_requests_total{balancer="shop",worker="gone",affinity="route"} 1
lbsticky_requests_total{balancer="shop",worker="gone",affinity="learned"} 3
lbsticky_requests_total{balancer="shop",worker="gone",affinity="hash"} 0
lbsticky_requests_total{balancer="shop",worker="gone",affinity="new"} 2
lbsticky_requests_total{balancer="shop",worker="gone",affinity="failover"} 0
lbsticky_requests_total{balancer="shop",worker="gone",affinity="overload"} 1
# HELP lbsticky_moved_away_total Requests whose session or cookie named a worker that could not serve them.
# TYPE lbsticky_moved_away_total counter
lbsticky_moved_away_total{balancer="shop",worker="http://10.0.0.1:8080"} 6
lbsticky_moved_away_total{balancer="shop",worker="http://10.0.0.2:8080"} 0
lbsticky_moved_away_total{balancer="shop",worker="http://10.0.0.3:8080"} 0
lbsticky_moved_away_total{balancer="shop",worker="gone"} 5
# HELP lbsticky_refused_total Requests that were answered 503 rather than sent to another worker.
# TYPE lbsticky_refused_total counter
lbsticky_refused_total{balancer="shop"} 3
# HELP lbsticky_cookies_issued_total Cookies of the balancer's own that clients were given.
# TYPE lbsticky_cookies_issued_total counter
lbsticky_cookies_issued_total{balancer="shop"} 20
# HELP lbsticky_cookies_unknown_total Requests with a cookie of the balancer's own that names no worker: unknown or forged.
# TYPE lbsticky_cookies_unknown_total counter
lbsticky_cookies_unknown_total{balancer="shop"} 2
# HELP lbsticky_cookies_outdated_total Requests with a cookie, or a token behind a session id, that was made with another than the first secret.
# TYPE lbsticky_cookies_outdated_total counter
lbsticky_cookies_outdated_total{balancer="shop"} 3
# HELP lbsticky_ids_too_long_total Session ids that no route was appended to, because they would have passed 4,096 bytes.
# TYPE lbsticky_ids_too_long_total counter
lbsticky_ids_too_long_total{balancer="shop"} 0
# HELP lbsticky_unknown_routes_total Requests whose session id carries no route of a worker.
# TYPE lbsticky_unknown_routes_total counter
lbsticky_unknown_routes_total{balancer="shop"} 41
# HELP lbsticky_table_sessions Learned sessions that the table holds.
# TYPE lbsticky_table_sessions gauge
lbsticky_table_sessions{balancer="shop"} 5
# HELP lbsticky_table_places Learned sessions that the table has room for.
# TYPE lbsticky_table_places gauge
lbsticky_table_places{balancer="shop"} 65536
# HELP lbsticky_table_evicted_total Learned sessions that were alive and made room for others.
# TYPE lbsticky_table_evicted_total counter
lbsticky_table_evicted_total{balancer="shop"} 2
# HELP lbsticky_table_dropped_total Sessions that were not learned for want of room.
# TYPE lbsticky_table_dropped_total counter
lbsticky_table_dropped_total{balancer="shop"} 1
# HELP lbsticky_store_look_ups_total Session ids that the table did not know, by what the store said: hit, miss, unanswered; or why it was not asked: remembered (as a miss), capped, away.
# TYPE lbsticky_store_look_ups_total counter
lbsticky_store_look_ups_total{balancer="shop",result="hit"} 11
lbsticky_store_look_ups_total{balancer="shop",result="miss"} 12
lbsticky_store_look_ups_total{balancer="shop",result="unanswered"} 13
lbsticky_store_look_ups_total{balancer="shop",result="remembered"} 14
lbsticky_store_look_ups_total{balancer="shop",result="capped"} 15
lbsticky_store_look_ups_total{balancer="shop",result="away"} 16
# HELP lbsticky_store_writes_total Sessions for the store: stored, or dropped without asking it.
# TYPE lbsticky_store_writes_total counter
lbsticky_store_writes_total{balancer="shop",result="stored"} 17
lbsticky_store_writes_total{balancer="shop",result="dropped"} 18
# HELP lbsticky_store_failures_total Attempts to reach the store that failed.
# TYPE lbsticky_store_failures_total counter
lbsticky_store_failures_total{balancer="shop"} 19
# HELP lbsticky_store_away Whether the store cannot be reached and is not asked.
# TYPE lbsticky_store_away gauge
lbsticky_store_away{balancer="shop"} 0
# HELP lbsticky_weight_ratio Share of the new sessions that a worker is to get, by load factor.
# TYPE lbsticky_weight_ratio gauge
lbsticky_weight_ratio{balancer="shop",worker="http://10.0.0.1:8080"} 0.923077
lbsticky_weight_ratio{balancer="shop",worker="http://10.0.0.2:8080"} 0
lbsticky_weight_ratio{balancer="shop",worker="http://10.0.0.3:8080"} 0.0769231
# HELP lbsticky_new_sessions_ratio Share of the new sessions that a worker got since it is what it is (lbsticky_status_age_seconds).
# TYPE lbsticky_new_sessions_ratio gauge
lbsticky_new_sessions_ratio{balancer="shop",worker="http://10.0.0.1:8080"} 0.769231
lbsticky_new_sessions_ratio{balancer="shop",worker="http://10.0.0.2:8080"} 0
lbsticky_new_sessions_ratio{balancer="shop",worker="http://10.0.0.3:8080"} 0.1
# HELP lbsticky_worker_busy Requests that a worker is serving now, as mod_proxy counts them.
# TYPE lbsticky_worker_busy gauge
lbsticky_worker_busy{balancer="shop",worker="http://10.0.0.1:8080"} 4
lbsticky_worker_busy{balancer="shop",worker="http://10.0.0.2:8080"} 0
lbsticky_worker_busy{balancer="shop",worker="http://10.0.0.3:8080"} 0
# HELP lbsticky_in_flight Requests that a worker is serving now, in all child processes.
# TYPE lbsticky_in_flight gauge
lbsticky_in_flight{balancer="shop",worker="http://10.0.0.1:8080"} 5
lbsticky_in_flight{balancer="shop",worker="http://10.0.0.2:8080"} 0
lbsticky_in_flight{balancer="shop",worker="http://10.0.0.3:8080"} 0
# HELP lbsticky_sessions Sessions that a worker served in the last ten to fifteen minutes, estimated.
# TYPE lbsticky_sessions gauge
lbsticky_sessions{balancer="shop",worker="http://10.0.0.1:8080"} 1234
lbsticky_sessions{balancer="shop",worker="http://10.0.0.2:8080"} 1
lbsticky_sessions{balancer="shop",worker="http://10.0.0.3:8080"} 0
# HELP lbsticky_last_sticky_request_age_seconds Time since the last request of a session that belongs to the worker; +Inf if there was none.
# TYPE lbsticky_last_sticky_request_age_seconds gauge
lbsticky_last_sticky_request_age_seconds{balancer="shop",worker="http://10.0.0.1:8080"} 3
lbsticky_last_sticky_request_age_seconds{balancer="shop",worker="http://10.0.0.2:8080"} 125
lbsticky_last_sticky_request_age_seconds{balancer="shop",worker="http://10.0.0.3:8080"} +Inf
# HELP lbsticky_status_age_seconds Time since a worker came into service or went out of it, or began to drain; +Inf if it never has.
# TYPE lbsticky_status_age_seconds gauge
lbsticky_status_age_seconds{balancer="shop",worker="http://10.0.0.1:8080"} +Inf
lbsticky_status_age_seconds{balancer="shop",worker="http://10.0.0.2:8080"} 300
lbsticky_status_age_seconds{balancer="shop",worker="http://10.0.0.3:8080"} 7
# HELP lbsticky_draining_seconds Time since a worker began to drain; 0 if it is not draining.
# TYPE lbsticky_draining_seconds gauge
lbsticky_draining_seconds{balancer="shop",worker="http://10.0.0.1:8080"} 0
lbsticky_draining_seconds{balancer="shop",worker="http://10.0.0.2:8080"} 300
lbsticky_draining_seconds{balancer="shop",worker="http://10.0.0.3:8080"} 0
# HELP lbsticky_drain_deadline_seconds Time until the sessions of a worker are moved that is draining; +Inf if they are not to be.
# TYPE lbsticky_drain_deadline_seconds gauge
lbsticky_drain_deadline_seconds{balancer="shop",worker="http://10.0.0.1:8080"} +Inf
lbsticky_drain_deadline_seconds{balancer="shop",worker="http://10.0.0.2:8080"} 600
lbsticky_drain_deadline_seconds{balancer="shop",worker="http://10.0.0.3:8080"} +Inf
# HELP lbsticky_worker_status Whether a status flag of a worker is set.
# TYPE lbsticky_worker_status gauge
lbsticky_worker_status{balancer="shop",worker="http://10.0.0.1:8080",status="usable"} 1
lbsticky_worker_status{balancer="shop",worker="http://10.0.0.1:8080",status="draining"} 0
lbsticky_worker_status{balancer="shop",worker="http://10.0.0.1:8080",status="disabled"} 0
lbsticky_worker_status{balancer="shop",worker="http://10.0.0.1:8080",status="stopped"} 0
lbsticky_worker_status{balancer="shop",worker="http://10.0.0.1:8080",status="in_error"} 0
lbsticky_worker_status{balancer="shop",worker="http://10.0.0.1:8080",status="unhealthy"} 0
lbsticky_worker_status{balancer="shop",worker="http://10.0.0.1:8080",status="standby"} 0
lbsticky_worker_status{balancer="shop",worker="http://10.0.0.1:8080",status="spare"} 0
lbsticky_worker_status{balancer="shop",worker="http://10.0.0.1:8080",status="recovering"} 0
lbsticky_worker_status{balancer="shop",worker="http://10.0.0.1:8080",status="probing"} 0
lbsticky_worker_status{balancer="shop",worker="http://10.0.0.1:8080",status="drained"} 0
lbsticky_worker_status{balancer="shop",worker="http://10.0.0.2:8080",status="usable"} 1
lbsticky_worker_status{balancer="shop",worker="http://10.0.0.2:8080",status="draining"} 1
lbsticky_worker_status{balancer="shop",worker="http://10.0.0.2:8080",status="disabled"} 0
lbsticky_worker_status{balancer="shop",worker="http://10.0.0.2:8080",status="stopped"} 0
lbsticky_worker_status{balancer="shop",worker="http://10.0.0.2:8080",status="in_error"} 0
lbsticky_worker_status{balancer="shop",worker="http://10.0.0.2:8080",status="unhealthy"} 0
lbsticky_worker_status{balancer="shop",worker="http://10.0.0.2:8080",status="standby"} 0
lbsticky_worker_status{balancer="shop",worker="http://10.0.0.2:8080",status="spare"} 0
lbsticky_worker_status{balancer="shop",worker="http://10.0.0.2:8080",status="recovering"} 0
lbsticky_worker_status{balancer="shop",worker="http://10.0.0.2:8080",status="probing"} 0
lbsticky_worker_status{balancer="shop",worker="http://10.0.0.2:8080",status="drained"} 1
lbsticky_worker_status{balancer="shop",worker="http://10.0.0.3:8080",status="usable"} 1
lbsticky_worker_status{balancer="shop",worker="http://10.0.0.3:8080",status="draining"} 0
lbsticky_worker_status{balancer="shop",worker="http://10.0.0.3:8080",status="disabled"} 0
lbsticky_worker_status{balancer="shop",worker="http://10.0.0.3:8080",status="stopped"} 0
lbsticky_worker_status{balancer="shop",worker="http://10.0.0.3:8080",status="in_error"} 0
lbsticky_worker_status{balancer="shop",worker="http://10.0.0.3:8080",status="unhealthy"} 0
lbsticky_worker_status{balancer="shop",worker="http://10.0.0.3:8080",status="standby"} 1
lbsticky_worker_status{balancer="shop",worker="http://10.0.0.3:8080",status="spare"} 1
lbsticky_worker_status{balancer="shop",worker="http://10.0.0.3:8080",status="recovering"} 1
lbsticky_worker_status{balancer="shop",worker="http://10.0.0.3:8080",status="probing"} 0
lbsticky_worker_status{balancer="shop",worker="http://10.0.0.3:8080",status="drained"} 0
# HELP lbsticky_worker_info Route of a worker.
# TYPE lbsticky_worker_info gauge
lbsticky_worker_info{balancer="shop",worker="http://10.0.0.1:8080",route="node1"} 1
lbsticky_worker_info{balancer="shop",worker="http://10.0.0.2:8080",route="node2"} 1
lbsticky_worker_info{balancer="shop",worker="http://10.0.0.3:8080",route=""} 1
)");
}

TEST_CASE("the state of a balancer in OpenMetrics, whatever its names are", "[metrics]") {
    CHECK(metrics(std::vector{hostile()}, "1.2.3", MetricsFormat::open_metrics) == R"(# HELP lbsticky Version of mod_lbmethod_sticky.
# TYPE lbsticky info
lbsticky_info{version="1.2.3"} 1
# HELP lbsticky_requests Requests that a worker was chosen for, by affinity: why it was that worker.
# TYPE lbsticky_requests counter
lbsticky_requests_total{balancer="<b>\"'&\\\n",server="\"<i>",worker="http://<u>'\"",affinity="cookie"} 0
lbsticky_requests_total{balancer="<b>\"'&\\\n",server="\"<i>",worker="http://<u>'\"",affinity="route"} 0
lbsticky_requests_total{balancer="<b>\"'&\\\n",server="\"<i>",worker="http://<u>'\"",affinity="learned"} 0
lbsticky_requests_total{balancer="<b>\"'&\\\n",server="\"<i>",worker="http://<u>'\"",affinity="hash"} 0
lbsticky_requests_total{balancer="<b>\"'&\\\n",server="\"<i>",worker="http://<u>'\"",affinity="new"} 0
lbsticky_requests_total{balancer="<b>\"'&\\\n",server="\"<i>",worker="http://<u>'\"",affinity="failover"} 0
lbsticky_requests_total{balancer="<b>\"'&\\\n",server="\"<i>",worker="http://<u>'\"",affinity="overload"} 0
# HELP lbsticky_moved_away Requests whose session or cookie named a worker that could not serve them.
# TYPE lbsticky_moved_away counter
lbsticky_moved_away_total{balancer="<b>\"'&\\\n",server="\"<i>",worker="http://<u>'\""} 0
# HELP lbsticky_refused Requests that were answered 503 rather than sent to another worker.
# TYPE lbsticky_refused counter
lbsticky_refused_total{balancer="<b>\"'&\\\n",server="\"<i>"} 0
# HELP lbsticky_cookies_issued Cookies of the balancer's own that clients were given.
# TYPE lbsticky_cookies_issued counter
lbsticky_cookies_issued_total{balancer="<b>\"'&\\\n",server="\"<i>"} 0
# HELP lbsticky_cookies_unknown Requests with a cookie of the balancer's own that names no worker: unknown or forged.
# TYPE lbsticky_cookies_unknown counter
lbsticky_cookies_unknown_total{balancer="<b>\"'&\\\n",server="\"<i>"} 0
# HELP lbsticky_cookies_outdated Requests with a cookie, or a token behind a session id, that was made with another than the first secret.
# TYPE lbsticky_cookies_outdated counter
lbsticky_cookies_outdated_total{balancer="<b>\"'&\\\n",server="\"<i>"} 0
# HELP lbsticky_ids_too_long Session ids that no route was appended to, because they would have passed 4,096 bytes.
# TYPE lbsticky_ids_too_long counter
lbsticky_ids_too_long_total{balancer="<b>\"'&\\\n",server="\"<i>"} 0
# HELP lbsticky_unknown_routes Requests whose session id carries no route of a worker.
# TYPE lbsticky_unknown_routes counter
lbsticky_unknown_routes_total{balancer="<b>\"'&\\\n",server="\"<i>"} 0
# HELP lbsticky_weight_ratio Share of the new sessions that a worker is to get, by load factor.
# TYPE lbsticky_weight_ratio gauge
lbsticky_weight_ratio{balancer="<b>\"'&\\\n",server="\"<i>",worker="http://<u>'\""} 0
# HELP lbsticky_new_sessions_ratio Share of the new sessions that a worker got since it is what it is (lbsticky_status_age_seconds).
# TYPE lbsticky_new_sessions_ratio gauge
lbsticky_new_sessions_ratio{balancer="<b>\"'&\\\n",server="\"<i>",worker="http://<u>'\""} 0
# HELP lbsticky_worker_busy Requests that a worker is serving now, as mod_proxy counts them.
# TYPE lbsticky_worker_busy gauge
lbsticky_worker_busy{balancer="<b>\"'&\\\n",server="\"<i>",worker="http://<u>'\""} 0
# HELP lbsticky_in_flight Requests that a worker is serving now, in all child processes.
# TYPE lbsticky_in_flight gauge
lbsticky_in_flight{balancer="<b>\"'&\\\n",server="\"<i>",worker="http://<u>'\""} 0
# HELP lbsticky_sessions Sessions that a worker served in the last ten to fifteen minutes, estimated.
# TYPE lbsticky_sessions gauge
lbsticky_sessions{balancer="<b>\"'&\\\n",server="\"<i>",worker="http://<u>'\""} 0
# HELP lbsticky_last_sticky_request_age_seconds Time since the last request of a session that belongs to the worker; +Inf if there was none.
# TYPE lbsticky_last_sticky_request_age_seconds gauge
lbsticky_last_sticky_request_age_seconds{balancer="<b>\"'&\\\n",server="\"<i>",worker="http://<u>'\""} +Inf
# HELP lbsticky_status_age_seconds Time since a worker came into service or went out of it, or began to drain; +Inf if it never has.
# TYPE lbsticky_status_age_seconds gauge
lbsticky_status_age_seconds{balancer="<b>\"'&\\\n",server="\"<i>",worker="http://<u>'\""} +Inf
# HELP lbsticky_draining_seconds Time since a worker began to drain; 0 if it is not draining.
# TYPE lbsticky_draining_seconds gauge
lbsticky_draining_seconds{balancer="<b>\"'&\\\n",server="\"<i>",worker="http://<u>'\""} 0
# HELP lbsticky_drain_deadline_seconds Time until the sessions of a worker are moved that is draining; +Inf if they are not to be.
# TYPE lbsticky_drain_deadline_seconds gauge
lbsticky_drain_deadline_seconds{balancer="<b>\"'&\\\n",server="\"<i>",worker="http://<u>'\""} +Inf
# HELP lbsticky_worker_status Whether a status flag of a worker is set.
# TYPE lbsticky_worker_status gauge
lbsticky_worker_status{balancer="<b>\"'&\\\n",server="\"<i>",worker="http://<u>'\"",status="usable"} 0
lbsticky_worker_status{balancer="<b>\"'&\\\n",server="\"<i>",worker="http://<u>'\"",status="draining"} 1
lbsticky_worker_status{balancer="<b>\"'&\\\n",server="\"<i>",worker="http://<u>'\"",status="disabled"} 0
lbsticky_worker_status{balancer="<b>\"'&\\\n",server="\"<i>",worker="http://<u>'\"",status="stopped"} 0
lbsticky_worker_status{balancer="<b>\"'&\\\n",server="\"<i>",worker="http://<u>'\"",status="in_error"} 1
lbsticky_worker_status{balancer="<b>\"'&\\\n",server="\"<i>",worker="http://<u>'\"",status="unhealthy"} 0
lbsticky_worker_status{balancer="<b>\"'&\\\n",server="\"<i>",worker="http://<u>'\"",status="standby"} 0
lbsticky_worker_status{balancer="<b>\"'&\\\n",server="\"<i>",worker="http://<u>'\"",status="spare"} 0
lbsticky_worker_status{balancer="<b>\"'&\\\n",server="\"<i>",worker="http://<u>'\"",status="recovering"} 0
lbsticky_worker_status{balancer="<b>\"'&\\\n",server="\"<i>",worker="http://<u>'\"",status="probing"} 1
lbsticky_worker_status{balancer="<b>\"'&\\\n",server="\"<i>",worker="http://<u>'\"",status="drained"} 0
# HELP lbsticky_worker Route of a worker.
# TYPE lbsticky_worker info
lbsticky_worker_info{balancer="<b>\"'&\\\n",server="\"<i>",worker="http://<u>'\"",route="</table>�"} 1
# EOF
)");
}

TEST_CASE("the state of balancers as JSON, whatever their names are", "[metrics]") {
    CHECK(metrics(std::vector{shop(), hostile()}, "1.2.3", MetricsFormat::json) == R"({"version": "1.2.3", "balancers": [
  {
    "name": "shop",
    "server": "",
    "sessions": ["JSESSIONID|jsessionid", "sid"],
    "hash": true,
    "place": "busyness",
    "limits": {"new": 100, "all": 150},
    "cookie": {"name": "lbsticky_shop", "given": "auto", "attributes": "; Path=/; HttpOnly", "secret": false},
    "refused": 3,
    "cookies_issued": 20,
    "cookies_unknown": 2,
    "cookies_outdated": 3,
    "ids_too_long": 0,
    "unknown_routes": 41,
    "learned": {"sessions": 5, "places": 65536, "idle_seconds": 3600, "evicted": 2, "dropped": 1, "store": {"address": "redis://store:6379", "state": "here", "look_ups": {"hit": 11, "miss": 12, "unanswered": 13, "remembered": 14, "capped": 15, "away": 16}, "stored": 17, "dropped": 18, "failures": 19}},
    "gone": {"requests": {"cookie": 0, "route": 1, "learned": 3, "hash": 0, "new": 2, "failover": 0, "overload": 1}, "moved_away": 5},
    "workers": [
      {"url": "http://10.0.0.1:8080", "route": "node1", "status": ["usable"], "weight_ratio": 0.923077, "new_sessions_ratio": 0.769231, "requests": {"cookie": 10, "route": 20, "learned": 70, "hash": 30, "new": 40, "failover": 50, "overload": 60}, "moved_away": 6, "busy": 4, "in_flight": 5, "sessions": 1234, "last_sticky_request_age_seconds": 3, "status_age_seconds": null, "draining_seconds": null, "drain_deadline_seconds": null},
      {"url": "http://10.0.0.2:8080", "route": "node2", "status": ["usable", "draining", "drained"], "weight_ratio": 0, "new_sessions_ratio": 0, "requests": {"cookie": 1, "route": 2, "learned": 7, "hash": 3, "new": 10, "failover": 5, "overload": 0}, "moved_away": 0, "busy": 0, "in_flight": 0, "sessions": 1, "last_sticky_request_age_seconds": 125, "status_age_seconds": 300, "draining_seconds": 300, "drain_deadline_seconds": 600},
      {"url": "http://10.0.0.3:8080", "route": "", "status": ["usable", "standby", "spare", "recovering"], "weight_ratio": 0.0769231, "new_sessions_ratio": 0.1, "requests": {"cookie": 0, "route": 0, "learned": 0, "hash": 0, "new": 0, "failover": 0, "overload": 0}, "moved_away": 0, "busy": 0, "in_flight": 0, "sessions": 0, "last_sticky_request_age_seconds": null, "status_age_seconds": 7, "draining_seconds": null, "drain_deadline_seconds": null}
    ]
  },
  {
    "name": "<b>\"'&\\\u000a",
    "server": "\"<i>",
    "sessions": ["<script>"],
    "hash": false,
    "place": "rotation",
    "limits": {"new": 0, "all": 0},
    "cookie": {"name": "\"><img>", "given": "always", "attributes": "; Path=/<p>", "secret": false},
    "refused": 0,
    "cookies_issued": 0,
    "cookies_unknown": 0,
    "cookies_outdated": 0,
    "ids_too_long": 0,
    "unknown_routes": 0,
    "learned": null,
    "gone": {"requests": {"cookie": 0, "route": 0, "learned": 0, "hash": 0, "new": 0, "failover": 0, "overload": 0}, "moved_away": 0},
    "workers": [
      {"url": "http://<u>'\"", "route": "</table>�", "status": ["draining", "in_error", "probing"], "weight_ratio": 0, "new_sessions_ratio": 0, "requests": {"cookie": 0, "route": 0, "learned": 0, "hash": 0, "new": 0, "failover": 0, "overload": 0}, "moved_away": 0, "busy": 0, "in_flight": 0, "sessions": 0, "last_sticky_request_age_seconds": null, "status_age_seconds": null, "draining_seconds": null, "drain_deadline_seconds": null}
    ]
  }
]}
)");
}

// clang-format on

TEST_CASE("without a balancer the formats have the version alone", "[metrics]") {
    CHECK(metrics({}, "1", MetricsFormat::json) == "{\"version\": \"1\", \"balancers\": []}\n");
    CHECK(metrics({}, "1", MetricsFormat::prometheus).find("lbsticky_info{version=\"1\"} 1\n") != std::string::npos);
    CHECK(metrics({}, "1", MetricsFormat::open_metrics).ends_with("\n# EOF\n"));
}

TEST_CASE("a balancer without workers or cookie is shown too", "[metrics]") {
    BalancerReport balancer;
    balancer.name = "empty";
    const std::string json = metrics(std::vector{balancer}, "1", MetricsFormat::json);
    CHECK(json.find("\"cookie\": null") != std::string::npos);
    CHECK(json.find("\"workers\": []\n") != std::string::npos);
    CHECK(metrics(std::vector{balancer}, "1", MetricsFormat::prometheus)
              .find("lbsticky_refused_total{balancer=\"empty\"} 0\n") != std::string::npos);
}

TEST_CASE("each format has its Content-Type", "[metrics]") {
    CHECK(content_type(MetricsFormat::prometheus) == std::string("text/plain; version=0.0.4; charset=utf-8"));
    CHECK(content_type(MetricsFormat::open_metrics) ==
          std::string("application/openmetrics-text; version=1.0.0; charset=utf-8"));
    CHECK(content_type(MetricsFormat::json) == std::string("application/json"));
}

}  // namespace lbsticky
