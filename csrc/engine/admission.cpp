#include "engine/admission.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <tuple>

namespace shimmy {

constexpr double completion_weight = 2.0;

std::vector<size_t> admission_order(std::span<const WaitingView> waiting) {
    std::vector<size_t> order(waiting.size());
    std::iota(order.begin(), order.end(), size_t{0});
    int32_t best = std::numeric_limits<int32_t>::max();
    for (const auto & view : waiting) {
        best = std::min(best, view.priority);
    }
    const auto rank = [&](size_t i) {
        const auto & view = waiting[i];
        const double level = std::max<double>(best, view.priority - std::floor(view.waited / ageing_seconds));
        return std::tuple(!view.preempted, view.preempted ? 0.0 : level, view.preempted ? 0.0 : view.served);
    };
    std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) { return rank(a) < rank(b); });
    return order;
}

double TenantLedger::least_of_busy() const {
    double least = std::numeric_limits<double>::infinity();
    for (const auto & [name, account] : accounts_) {
        if (account.n_requests > 0) {
            least = std::min(least, account.served);
        }
    }
    return n_busy_ > 0 ? least : level_;
}

void TenantLedger::arrive(const std::string & tenant) {
    const double least = least_of_busy();
    auto & account = accounts_[tenant];
    if (account.n_requests++ == 0) {
        account.served = std::max(account.served, least);
        ++n_busy_;
    }
}

void TenantLedger::leave(const std::string & tenant) {
    const auto it = accounts_.find(tenant);
    if (it == accounts_.end() || it->second.n_requests == 0 || --it->second.n_requests > 0) {
        return;
    }
    if (--n_busy_ == 0) {
        level_ = it->second.served;
        accounts_.clear();
        return;
    }
    // An account behind everybody's says nothing: its tenant would start level with the least served anyway.
    const double least = least_of_busy();
    std::erase_if(accounts_,
                  [&](const auto & entry) { return entry.second.n_requests == 0 && entry.second.served <= least; });
}

void TenantLedger::charge(const std::string & tenant, int64_t prompt_tokens, int64_t completion_tokens) {
    const auto it = accounts_.find(tenant);
    if (it != accounts_.end()) {
        it->second.served +=
            static_cast<double>(prompt_tokens) + completion_weight * static_cast<double>(completion_tokens);
    }
}

double TenantLedger::served(const std::string & tenant) const {
    const auto it = accounts_.find(tenant);
    return it == accounts_.end() ? level_ : it->second.served;
}

}  // namespace shimmy
