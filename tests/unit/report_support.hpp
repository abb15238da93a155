// Reports for the tests of pages and formats: a balancer that has everything, and one with hostile names.
#pragma once

#include "core/report.hpp"

namespace lbsticky {

inline BalancerReport shop() {
    BalancerReport balancer;
    balancer.name = "shop";
    balancer.sessions = {"JSESSIONID|jsessionid", "sid"};
    balancer.cookie = "lbsticky_shop";
    balancer.cookie_attributes = "; Path=/; HttpOnly";
    balancer.placement = Placement::busyness;
    balancer.limits = {100, 150};
    balancer.counts[Count::refused] = 3;
    balancer.counts[Count::cookies_issued] = 20;
    balancer.counts[Count::cookies_unknown] = 2;
    balancer.counts[Count::cookies_outdated] = 3;
    balancer.counts[Count::unknown_routes] = 41;
    balancer.gone.requests = {0, 1, 3, 0, 2, 0, 1};
    balancer.gone.moved_away = 5;
    balancer.learned = LearnedReport{
        5, 65536, 3600, 2, 1, StoreReport{"redis://store:6379", "here", {11, 12, 13, 14, 15, 16}, 17, 18, 19}};

    WorkerReport one;
    one.url = "http://10.0.0.1:8080";
    one.route = "node1";
    one.cookie = ".node1";
    one.factor = 300;
    one.in_rotation = true;
    one.busy = 4;
    one.in_flight = 5;
    one.sessions = 1234;
    one.sticky_age = 3;
    one.counts = {{10, 20, 70, 30, 40, 50, 60}, 6};
    one.fresh = 40;
    one.all_fresh = 52;
    balancer.add(one);

    WorkerReport two;
    two.url = "http://10.0.0.2:8080";
    two.route = "node2";
    two.cookie = ".node2";
    two.status.draining = true;
    two.factor = 100;
    two.sessions = 1;
    two.sticky_age = 125;
    two.status_age = two.draining_age = 300;
    two.deadline_left = 600;
    two.status.drained = true;
    two.counts = {{1, 2, 7, 3, 10, 5, 0}, 0};
    two.all_fresh = 12;
    balancer.add(two);

    WorkerReport three;
    three.url = "http://10.0.0.3:8080";
    three.cookie = ".0123456789abcdef";
    three.status.standby = three.status.spare = true;
    three.factor = 100;
    three.in_rotation = true;
    three.status.recovering = true;
    three.part_of_share = 250;
    three.status_age = 7;
    three.fresh = 1;
    three.all_fresh = 10;
    balancer.add(three);
    return balancer;
}

// All names that come from a configuration try to break out of the page or format.
inline BalancerReport hostile() {
    BalancerReport balancer;
    balancer.name = "<b>\"'&\\\n";
    balancer.server = "\"<i>";
    balancer.sessions = {"<script>"};
    balancer.cookie = "\"><img>";
    balancer.cookie_attributes = "; Path=/<p>";
    balancer.cookie_where_needed = false;
    balancer.hash = false;
    WorkerReport worker;
    worker.url = "http://<u>'\"";
    worker.route = "</table>\xE9";
    worker.cookie = ".</table>";
    worker.status.usable = false;
    worker.status.draining = worker.status.in_error = worker.status.probing = true;
    worker.factor = 100;
    balancer.add(worker);
    return balancer;
}

}  // namespace lbsticky
