#pragma once
// Policy: which waiting request is admitted next. Pure values, no clock.

#include <cstddef>
#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <vector>

namespace shimmy {

// A waiting request as admission sees it.
struct WaitingView {
    int32_t priority = 0;  // lower is earlier
    double waited = 0;     // seconds since its arrival
    double served = 0;     // what its tenant has had (see TenantLedger)
    bool preempted = false;
};

// Seconds of waiting that count as one level of priority, up to the best that waits: nobody starves, and age does not
// outrank a tenant's share.
constexpr double ageing_seconds = 10.0;

// Indices into `waiting` in the order of admission: requests that were preempted, then by priority less ageing, then
// the tenant that was served least, then as they came.
std::vector<size_t> admission_order(std::span<const WaitingView> waiting);

// What each tenant has had of the engine, in tokens: the virtual counters of "Fairness in Serving Large Language
// Models" (Sheng et al., OSDI 2024). A generated token weighs twice a prompt token.
class TenantLedger {
  public:
    // A tenant has work again: it starts level with the least served of those that have some, so that a pause saves
    // nothing up.
    void arrive(const std::string & tenant);
    void leave(const std::string & tenant);  // once for each arrive

    void charge(const std::string & tenant, int64_t prompt_tokens, int64_t completion_tokens);
    double served(const std::string & tenant) const;

  private:
    struct Account {
        double served = 0;
        size_t n_requests = 0;
    };

    double least_of_busy() const;

    std::map<std::string, Account> accounts_;  // of tenants with requests, and of those ahead of all of these
    size_t n_busy_ = 0;                        // tenants with requests
    double level_ = 0;                         // where the last one stood that left nobody behind
};

}  // namespace shimmy
