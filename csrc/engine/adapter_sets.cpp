#include "engine/adapter_sets.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "errors.h"

namespace shimmy {

constexpr size_t max_sets = 1024;
constexpr double max_scale = std::numeric_limits<float>::max();

void AdapterSets::put(const std::string & name, std::shared_ptr<LoraAdapter> adapter) {
    std::lock_guard lock(mutex_);
    auto & place = adapters_[name];
    forget_sets_with(place.get());
    place.swap(adapter);  // the old one is freed after the lock
}

void AdapterSets::remove(const std::string & name) {
    std::shared_ptr<LoraAdapter> removed;  // freed after the lock
    std::lock_guard lock(mutex_);
    const auto found = adapters_.find(name);
    if (found == adapters_.end()) {
        throw ModelNotFoundError("no adapter '" + name + "' is loaded");
    }
    forget_sets_with(found->second.get());
    removed = std::move(found->second);
    adapters_.erase(found);
}

void AdapterSets::forget_sets_with(const LoraAdapter * adapter) {
    std::erase_if(ids_, [&](const auto & entry) {
        return std::any_of(entry.first.begin(), entry.first.end(),
                           [&](const auto & part) { return part.first == adapter; });
    });
}

std::vector<std::string> AdapterSets::names() const {
    std::lock_guard lock(mutex_);
    std::vector<std::string> names;
    for (const auto & [name, adapter] : adapters_) {
        names.push_back(name);
    }
    return names;
}

std::shared_ptr<const LoraAdapter> AdapterSets::activated(const std::string & name) const {
    std::lock_guard lock(mutex_);
    const auto found = adapters_.find(name);
    return found == adapters_.end() || found->second->invocation_tokens().empty() ? nullptr : found->second;
}

AdapterSets::Interned AdapterSets::intern(const std::vector<std::pair<std::string, double>> & lora) {
    std::lock_guard lock(mutex_);
    AdapterSet set;
    for (const auto & [name, scale] : lora) {
        const auto found = adapters_.find(name);
        if (found == adapters_.end()) {
            std::string known;
            for (const auto & [other, adapter] : adapters_) {
                known += (known.empty() ? "" : ", ") + other;
            }
            throw ModelNotFoundError("no adapter '" + name + "' is loaded; " +
                                     (known.empty() ? "there are none" : "there are: " + known));
        }
        if (!(std::abs(scale) <= max_scale)) {
            throw InvalidRequestError("the scale of adapter '" + name + "' is not a finite 32-bit number", "lora");
        }
        if (std::any_of(set.begin(), set.end(), [&](const auto & other) { return other.first == found->second; })) {
            throw InvalidRequestError("adapter '" + name + "' is named twice", "lora");
        }
        if (scale != 0) {
            set.emplace_back(found->second, scale);
        }
    }
    if (set.empty()) {
        return {0, {}};
    }
    Key key;
    for (const auto & [adapter, scale] : set) {
        key.emplace_back(adapter.get(), scale);
    }
    std::sort(key.begin(), key.end());
    if (ids_.size() >= max_sets) {
        ids_.clear();  // costs cached prefixes, nothing else
    }
    const auto [entry, fresh] = ids_.try_emplace(key, next_id_);
    next_id_ += fresh ? 1 : 0;
    return {entry->second, std::move(set)};
}

}  // namespace shimmy
