#include "chat/guarded_nodes.h"

#include "chat/render_budget.h"

namespace shimmy {

namespace {

constexpr int64_t max_range_items = 100'000;
constexpr size_t max_array_items = 1'000'000;
constexpr size_t max_value_nodes = 1'000'000;
constexpr size_t max_value_depth = 128;

// A value that is already computed, as an operand.
struct ConstantNode : jinja::expression {
    explicit ConstantNode(jinja::value value) : value(std::move(value)) {}
    std::string type() const override { return "Constant"; }
    jinja::value execute_impl(jinja::context &) const override { return value; }

    jinja::value value;
};

jinja::value checked(jinja::value result) {
    if (jinja::is_val<jinja::value_string>(result)) {
        RenderBudget::of_thread().check_string(result->val_str.length());
    } else if (jinja::is_val<jinja::value_array>(result) && result->as_array().size() > max_array_items) {
        throw BudgetExceeded("it makes a list of more than " + std::to_string(max_array_items) + " items");
    }
    return result;
}

// Visits a value as the interpreter's own recursions do: shared parts count every time they are reached. Throws
// BudgetExceeded when it is too deep, too large, or contains `owner`.
class ValueWalk {
  public:
    explicit ValueWalk(const jinja::value_t * owner = nullptr) : owner_(owner) {}

    void visit(const jinja::value & value, size_t depth = 1) {
        if (depth > max_value_depth || ++nodes_ > max_value_nodes || value.get() == owner_) {
            throw BudgetExceeded("it builds a value that is nested too deep or contains itself");
        }
        if (jinja::is_val<jinja::value_array>(value)) {
            for (const jinja::value & item : value->as_array()) {
                visit(item, depth + 1);
            }
        } else if (jinja::is_val<jinja::value_object>(value)) {
            for (const auto & [key, item] : value->as_ordered_object()) {
                visit(item, depth + 1);
            }
        }
    }

  private:
    const jinja::value_t * owner_;
    size_t nodes_ = 0;
};

jinja::value bounded_range(const jinja::func_args & args) {
    const auto & values = args.get_args();
    int64_t bounds[3] = {0, 0, 1};
    const size_t first = values.size() == 1 ? 1 : 0;
    for (size_t i = 0; i < values.size() && first + i < 3; ++i) {
        if (!jinja::is_val<jinja::value_int>(values[i])) {
            break;  // the real range() reports the type
        }
        bounds[first + i] = values[i]->as_int();
    }
    const auto [start, stop, step] = bounds;
    // In floating point, where the difference of any two integers is defined.
    const double items = step == 0 ? 0 : (double(stop) - double(start)) / double(step);
    if (items > double(max_range_items)) {
        throw BudgetExceeded("range() of more than " + std::to_string(max_range_items) + " items");
    }
    return jinja::global_builtins().at("range")(args);
}

}  // namespace

jinja::value TickNode::execute_impl(jinja::context &) const {
    RenderBudget::of_thread().tick();
    return jinja::mk_val<jinja::value_undefined>();
}

jinja::value CallBodyNode::execute_impl(jinja::context & ctx) const {
    const RenderBudget::Call call(RenderBudget::of_thread());
    auto results = jinja::mk_val<jinja::value_array>();
    for (const auto & statement : body) {
        results->push_back(statement->execute(ctx));
    }
    return results;
}

jinja::value RangeNode::execute_impl(jinja::context & ctx) const {
    jinja::value found = jinja::identifier::execute_impl(ctx);
    if (const auto * function = jinja::cast_val<jinja::value_func>(found); function && function->name == "range") {
        return jinja::mk_val<jinja::value_func>("range", bounded_range);
    }
    return found;
}

jinja::value GrowingNode::execute_impl(jinja::context & ctx) const {
    if (op.value != "*") {
        return checked(jinja::binary_expression::execute_impl(ctx));
    }
    jinja::value lhs = left->execute(ctx);
    jinja::value rhs = right->execute(ctx);
    const auto check_repeat = [](const jinja::value & text, const jinja::value & times) {
        if (jinja::is_val<jinja::value_string>(text) && jinja::is_val<jinja::value_int>(times) && times->as_int() > 0) {
            const double bytes = double(text->val_str.length() + 1) * double(times->as_int());
            RenderBudget::of_thread().check_string(bytes < 1e18 ? size_t(bytes) : size_t(1e18));
        }
    };
    check_repeat(lhs, rhs);
    check_repeat(rhs, lhs);
    jinja::binary_expression product(op, std::make_unique<ConstantNode>(std::move(lhs)),
                                     std::make_unique<ConstantNode>(std::move(rhs)));
    product.left->pos = product.right->pos = product.pos = pos;
    return product.execute_impl(ctx);
}

jinja::value CheckedCallNode::execute_impl(jinja::context & ctx) const {
    RenderBudget::of_thread().tick();
    jinja::func_args values(ctx);
    for (const auto & arg : args) {
        values.push_back(arg->execute(ctx));
    }
    const jinja::value found = callee->execute(ctx);
    const auto * function = jinja::cast_val<jinja::value_func>(found);
    if (function == nullptr) {
        throw std::runtime_error("a value of type " + found->type() + " is not a function");
    }
    if (function->name == "append") {  // the one builtin that makes an existing value larger
        for (const auto & item : values.get_args()) {
            ValueWalk(function->arg0.get()).visit(item);
        }
    }
    return checked(function->invoke(values));
}

jinja::value CheckedFilterNode::execute_impl(jinja::context & ctx) const {
    RenderBudget::of_thread().tick();
    if (const auto * call = jinja::cast_stmt<jinja::call_expression>(filter)) {
        const auto * name = jinja::cast_stmt<jinja::identifier>(call->callee);
        if (name != nullptr && name->val == "append") {
            throw std::runtime_error("append is a method of lists, not a filter");
        }
    }
    return checked(jinja::filter_expression::execute_impl(ctx));
}

jinja::value CheckedSetNode::execute_impl(jinja::context & ctx) const {
    jinja::value result = jinja::set_statement::execute_impl(ctx);
    if (jinja::is_stmt<jinja::identifier>(assignee)) {
        ValueWalk().visit(ctx.get_val(jinja::cast_stmt<jinja::identifier>(assignee)->val));
    } else if (const auto * member = jinja::cast_stmt<jinja::member_expression>(assignee)) {
        jinja::value object = member->object->execute(ctx);
        const std::string & name = jinja::cast_stmt<jinja::identifier>(member->property)->val;
        try {
            ValueWalk().visit(object->at(name));
        } catch (const BudgetExceeded &) {
            object->insert(jinja::mk_val<jinja::value_string>(name), jinja::mk_val<jinja::value_none>());
            throw;  // with the cycle broken, so that it can be freed
        }
    } else if (const auto * names = jinja::cast_stmt<jinja::tuple_literal>(assignee)) {
        for (const auto & name : names->val) {
            if (jinja::is_stmt<jinja::identifier>(name)) {
                ValueWalk().visit(ctx.get_val(jinja::cast_stmt<jinja::identifier>(name)->val));
            }
        }
    }
    return result;
}

}  // namespace shimmy
