#pragma once
// Nodes of a jinja syntax tree that charge the thread's RenderBudget and otherwise do what the node they stand in for
// does. See guarded_template.cpp for where they go.

#include <memory>
#include <utility>

#include "jinja/runtime.h"

namespace shimmy {

// First statement of a loop body: one tick per iteration.
struct TickNode : jinja::statement {
    std::string type() const override { return "Tick"; }
    jinja::value execute_impl(jinja::context & ctx) const override;
};

// The body of a macro or call block: counts as one call while it runs.
struct CallBodyNode : jinja::statement {
    explicit CallBodyNode(jinja::statements && body) : body(std::move(body)) {}
    std::string type() const override { return "CallBody"; }
    jinja::value execute_impl(jinja::context & ctx) const override;

    jinja::statements body;
};

// `range` with at most max_range_items items, under whatever name the template calls it.
struct RangeNode : jinja::identifier {
    explicit RangeNode(const jinja::identifier & node) : jinja::identifier(node.val) {}
    jinja::value execute_impl(jinja::context & ctx) const override;
};

// + ~ * whose result is checked: strings against the budget, arrays against max_array_items.
struct GrowingNode : jinja::binary_expression {
    explicit GrowingNode(jinja::binary_expression && node)
        : jinja::binary_expression(node.op, std::move(node.left), std::move(node.right)) {}
    jinja::value execute_impl(jinja::context & ctx) const override;
};

struct CheckedCallNode : jinja::call_expression {
    explicit CheckedCallNode(jinja::call_expression && node)
        : jinja::call_expression(std::move(node.callee), std::move(node.args)) {}
    jinja::value execute_impl(jinja::context & ctx) const override;
};

struct CheckedFilterNode : jinja::filter_expression {
    explicit CheckedFilterNode(jinja::filter_expression && node)
        : jinja::filter_expression(std::move(node.operand), std::move(node.filter)) {}
    jinja::value execute_impl(jinja::context & ctx) const override;
};

// An assignment that may build nested values: what was assigned must be a tree of bounded depth and size.
struct CheckedSetNode : jinja::set_statement {
    explicit CheckedSetNode(jinja::set_statement && node)
        : jinja::set_statement(std::move(node.assignee), std::move(node.val), std::move(node.body)) {}
    jinja::value execute_impl(jinja::context & ctx) const override;
};

}  // namespace shimmy
