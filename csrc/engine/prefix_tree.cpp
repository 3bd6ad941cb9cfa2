#include "engine/prefix_tree.h"

#include <algorithm>

namespace shimmy {

// Holders end anywhere in a label, so that appending along another's list splits nothing. Below the root no node has
// exactly one child, and some holder reaches the end of every leaf.
struct PrefixTree::Node {
    Node * parent = nullptr;
    std::vector<int32_t> label;
    std::map<int32_t, std::unique_ptr<Node>> children;  // by the first token of their label
    std::vector<Holder> holders;                        // whose lists end in this label

    Node * child(int32_t token) const {
        const auto found = children.find(token);
        return found == children.end() ? nullptr : found->second.get();
    }
};

namespace {

size_t common(std::span<const int32_t> a, std::span<const int32_t> b) {
    const size_t most = std::min(a.size(), b.size());
    return static_cast<size_t>(
        std::mismatch(a.begin(), a.begin() + static_cast<std::ptrdiff_t>(most), b.begin()).first - a.begin());
}

}  // namespace

PrefixTree::PrefixTree() = default;
PrefixTree::~PrefixTree() = default;

size_t PrefixTree::size(Holder holder) const {
    const auto found = places_.find(holder);
    return found == places_.end() ? 0 : found->second.size;
}

bool PrefixTree::has(const CacheSpace & space) const {
    const auto root = roots_.find(space);
    return root != roots_.end() && !root->second->children.empty();
}

std::vector<int32_t> PrefixTree::tokens(Holder holder) const {
    const auto found = places_.find(holder);
    if (found == places_.end()) {
        return {};
    }
    std::vector<int32_t> tokens(found->second.size);
    size_t n = found->second.offset;
    auto end = tokens.end();
    for (const Node * node = found->second.node; node; node = node->parent, n = node ? node->label.size() : 0) {
        end = std::copy_backward(node->label.begin(), node->label.begin() + static_cast<std::ptrdiff_t>(n), end);
    }
    return tokens;
}

void PrefixTree::set(Holder holder, const CacheSpace & space, std::span<const int32_t> tokens) {
    erase(holder);
    auto & root = roots_[space];
    if (!root) {
        root = std::make_unique<Node>();
    }
    root->holders.push_back(holder);
    places_.emplace(holder, Place{space, root.get(), 0, 0});
    append(holder, tokens);
}

void PrefixTree::append(Holder holder, std::span<const int32_t> tokens) {
    auto & place = places_.at(holder);
    for (const int32_t token : tokens) {
        step(holder, place, token);
        ++place.size;
    }
}

void PrefixTree::step(Holder holder, Place & place, int32_t token) {
    Node * node = place.node;
    if (place.offset < node->label.size()) {
        if (node->label[place.offset] == token) {
            ++place.offset;
            return;
        }
        split(node, place.offset);
    }
    if (Node * child = node->child(token)) {
        move(holder, place, child, 1);
    } else if (node->children.empty() && node->parent) {
        node->label.push_back(token);
        ++place.offset;
    } else {
        auto leaf = std::make_unique<Node>();
        leaf->parent = node;
        leaf->label = {token};
        move(holder, place, leaf.get(), 1);
        node->children.emplace(token, std::move(leaf));
    }
}

void PrefixTree::move(Holder holder, Place & place, Node * node, size_t offset) {
    std::erase(place.node->holders, holder);
    node->holders.push_back(holder);
    place.node = node;
    place.offset = offset;
}

// Cut the label of `node` at `offset`; what follows becomes its only child.
void PrefixTree::split(Node * node, size_t offset) {
    auto rest = std::make_unique<Node>();
    const auto cut = node->label.begin() + static_cast<std::ptrdiff_t>(offset);
    rest->parent = node;
    rest->label.assign(cut, node->label.end());
    rest->children = std::exchange(node->children, {});
    for (auto & [token, child] : rest->children) {
        child->parent = rest.get();
    }
    std::erase_if(node->holders, [&](Holder holder) {
        auto & place = places_.at(holder);
        if (place.offset <= offset) {
            return false;
        }
        place.node = rest.get();
        place.offset -= offset;
        rest->holders.push_back(holder);
        return true;
    });
    node->label.erase(cut, node->label.end());
    const int32_t first = rest->label.front();
    node->children.emplace(first, std::move(rest));
}

// Take the only child of `node` into it.
void PrefixTree::merge_child(Node * node) {
    const auto child = std::move(node->children.begin()->second);
    for (const Holder holder : child->holders) {
        auto & place = places_.at(holder);
        place.node = node;
        place.offset += node->label.size();
        node->holders.push_back(holder);
    }
    node->label.insert(node->label.end(), child->label.begin(), child->label.end());
    node->children = std::move(child->children);
    for (auto & [token, grandchild] : node->children) {
        grandchild->parent = node;
    }
}

// Remove what no holder reaches any more, after one left `node`.
void PrefixTree::prune(Node * node) {
    if (!node->parent || !node->children.empty()) {
        return;
    }
    size_t reached = 0;
    for (const Holder holder : node->holders) {
        reached = std::max(reached, places_.at(holder).offset);
    }
    if (reached > 0) {
        node->label.resize(reached);
        return;
    }
    Node * parent = node->parent;
    parent->children.erase(node->label.front());
    if (parent->parent && parent->children.size() == 1) {
        merge_child(parent);
    }
}

void PrefixTree::truncate(Holder holder, size_t n) {
    const auto found = places_.find(holder);
    if (found == places_.end() || n >= found->second.size) {
        return;
    }
    auto & place = found->second;
    Node * old = place.node;
    Node * node = old;
    size_t offset = place.offset;
    size_t excess = place.size - n;
    while (node->parent && excess >= offset) {
        excess -= offset;
        node = node->parent;
        offset = node->label.size();
    }
    move(holder, place, node, offset - excess);
    place.size = n;
    prune(old);
}

void PrefixTree::erase(Holder holder) {
    const auto found = places_.find(holder);
    if (found == places_.end()) {
        return;
    }
    const auto place = found->second;
    std::erase(place.node->holders, holder);
    places_.erase(found);
    prune(place.node);
    const auto root = roots_.find(place.space);
    if (root->second->children.empty() && root->second->holders.empty()) {
        roots_.erase(root);
    }
}

PrefixTree::Match PrefixTree::match(const CacheSpace & space, std::span<const int32_t> tokens) const {
    Match match;
    const auto root = roots_.find(space);
    if (root == roots_.end()) {
        return match;
    }
    const Node * node = root->second.get();
    size_t reached = 0;  // in the label of node
    for (;;) {
        for (const Holder holder : node->holders) {
            const auto & place = places_.at(holder);
            if (place.offset <= reached && place.size > 0) {
                match.ends.push_back({holder, place.size});
            }
        }
        const Node * child =
            reached == node->label.size() && match.n < tokens.size() ? node->child(tokens[match.n]) : nullptr;
        if (!child) {
            break;
        }
        node = child;
        reached = common(node->label, tokens.subspan(match.n));
        match.n += reached;
    }
    std::sort(match.ends.begin(), match.ends.end(),
              [](const End & a, const End & b) { return std::pair(a.n, a.holder) < std::pair(b.n, b.holder); });
    if (match.n == 0) {
        return match;
    }
    std::vector<const Node *> open{node};
    while (!open.empty()) {
        const Node * next = open.back();
        open.pop_back();
        for (const Holder holder : next->holders) {
            if (next != node || places_.at(holder).offset >= reached) {
                match.holders.push_back(holder);
            }
        }
        for (const auto & [token, child] : next->children) {
            open.push_back(child.get());
        }
    }
    std::sort(match.holders.begin(), match.holders.end());
    return match;
}

size_t PrefixTree::descend(const Node & root, std::span<const int32_t> tokens) {
    size_t n = 0;
    for (const Node * node = &root; node && n < tokens.size();) {
        node = node->child(tokens[n]);
        const size_t more = node ? common(node->label, tokens.subspan(n)) : 0;
        n += more;
        if (node && more < node->label.size()) {
            break;
        }
    }
    return n;
}

size_t PrefixTree::match_other_adapters(const CacheSpace & space, std::span<const int32_t> tokens) const {
    size_t longest = 0;
    for (auto root = roots_.lower_bound({space.tenant, 0}); root != roots_.end() && root->first.tenant == space.tenant;
         ++root) {
        if (root->first.adapters != space.adapters) {
            longest = std::max(longest, descend(*root->second, tokens));
        }
    }
    return longest;
}

}  // namespace shimmy
