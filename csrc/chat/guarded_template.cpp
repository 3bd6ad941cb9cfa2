#include "chat/guarded_template.h"

#include <utility>

#include "chat/guarded_nodes.h"
#include "chat/render_budget.h"
#include "chat/template_limits.h"
#include "errors.h"
#include "jinja/parser.h"

namespace shimmy {

namespace {

// Replaces nodes of a syntax tree by their guarded forms. The tree's depth is bounded by template_limits.h.
class Guard {
  public:
    void all(jinja::statements & nodes) {
        for (auto & node : nodes) {
            one(node);
        }
    }

  private:
    void one(jinja::statement_ptr & node) {
        if (node == nullptr) {
            return;
        }
        children(*node);
        if (auto * name = as<jinja::identifier>(node)) {
            if (name->val == "range") {
                replace(node, std::make_unique<RangeNode>(*name));
            }
        } else if (auto * binary = as<jinja::binary_expression>(node)) {
            if (binary->op.value == "+" || binary->op.value == "~" || binary->op.value == "*") {
                replace(node, std::make_unique<GrowingNode>(std::move(*binary)));
            }
        } else if (auto * call = as<jinja::call_expression>(node)) {
            replace(node, std::make_unique<CheckedCallNode>(std::move(*call)));
        } else if (auto * filter = as<jinja::filter_expression>(node)) {
            replace(node, std::make_unique<CheckedFilterNode>(std::move(*filter)));
        } else if (auto * set = as<jinja::set_statement>(node)) {
            if (may_build_value(*set)) {
                replace(node, std::make_unique<CheckedSetNode>(std::move(*set)));
            }
        }
    }

    // Naming a value cannot nest it any deeper; building one, or hanging one into a namespace, can.
    static bool may_build_value(const jinja::set_statement & set) {
        if (set.val == nullptr) {
            return false;  // a block: its value is a string
        }
        const bool names_value = is<jinja::identifier>(set.val) || is<jinja::member_expression>(set.val) ||
                                 is<jinja::string_literal>(set.val) || is<jinja::integer_literal>(set.val);
        return !names_value || is<jinja::member_expression>(set.assignee);
    }

    void children(jinja::statement & node) {
        if (auto * n = as<jinja::if_statement>(node)) {
            one(n->test);
            all(n->body);
            all(n->alternate);
        } else if (auto * n = as<jinja::for_statement>(node)) {
            one(n->iterable);
            all(n->body);
            all(n->default_block);
            n->body.insert(n->body.begin(), placed(std::make_unique<TickNode>(), node));
        } else if (auto * n = as<jinja::set_statement>(node)) {
            one(n->val);
            all(n->body);
            if (auto * member = as<jinja::member_expression>(n->assignee)) {
                one(member->object);
            }
        } else if (auto * n = as<jinja::macro_statement>(node)) {
            all(n->args);
            call_body(n->body, node);
        } else if (auto * n = as<jinja::call_statement>(node)) {
            // Itself no CheckedCallNode: the statement takes its call apart. Its arguments and its callee are checked.
            if (auto * call = as<jinja::call_expression>(n->call)) {
                all(call->args);
            }
            all(n->caller_args);
            call_body(n->body, node);
        } else if (auto * n = as<jinja::filter_statement>(node)) {
            one(n->filter);
            all(n->body);
        } else {
            expression_children(node);
        }
    }

    void expression_children(jinja::statement & node) {
        if (auto * n = as<jinja::member_expression>(node)) {
            one(n->object);
            if (n->computed) {
                one(n->property);
            }
        } else if (auto * n = as<jinja::call_expression>(node)) {
            one(n->callee);
            all(n->args);
        } else if (auto * n = as<jinja::array_literal>(node)) {
            all(n->val);
        } else if (auto * n = as<jinja::tuple_literal>(node)) {
            all(n->val);
        } else if (auto * n = as<jinja::object_literal>(node)) {
            for (auto & [key, value] : n->val) {
                one(key);
                one(value);
            }
        } else if (auto * n = as<jinja::binary_expression>(node)) {
            one(n->left);
            one(n->right);
        } else if (auto * n = as<jinja::filter_expression>(node)) {
            one(n->operand);
            one(n->filter);
        } else if (auto * n = as<jinja::select_expression>(node)) {
            one(n->lhs);
            one(n->test);
        } else if (auto * n = as<jinja::test_expression>(node)) {
            one(n->operand);
            one(n->test);
        } else if (auto * n = as<jinja::unary_expression>(node)) {
            one(n->argument);
        } else if (auto * n = as<jinja::slice_expression>(node)) {
            one(n->start_expr);
            one(n->stop_expr);
            one(n->step_expr);
        } else if (auto * n = as<jinja::keyword_argument_expression>(node)) {
            one(n->val);
        } else if (auto * n = as<jinja::spread_expression>(node)) {
            one(n->argument);
        } else if (auto * n = as<jinja::ternary_expression>(node)) {
            one(n->condition);
            one(n->true_expr);
            one(n->false_expr);
        }
    }

    void call_body(jinja::statements & body, const jinja::statement & owner) {
        all(body);
        auto guarded = placed(std::make_unique<CallBodyNode>(std::move(body)), owner);
        body.clear();
        body.push_back(std::move(guarded));
    }

    static jinja::statement_ptr placed(jinja::statement_ptr node, const jinja::statement & where) {
        node->pos = where.pos;
        return node;
    }

    static void replace(jinja::statement_ptr & node, jinja::statement_ptr by) { node = placed(std::move(by), *node); }

    template <typename T>
    static T * as(jinja::statement & node) {
        return dynamic_cast<T *>(&node);
    }
    template <typename T>
    static T * as(const jinja::statement_ptr & node) {
        return dynamic_cast<T *>(node.get());
    }
    template <typename T>
    static bool is(const jinja::statement_ptr & node) {
        return dynamic_cast<const T *>(node.get()) != nullptr;
    }
};

}  // namespace

std::unique_ptr<common_chat_template> compile_guarded(const std::string & source, const std::string & bos_token,
                                                      const std::string & eos_token) {
    jinja::lexer_result lexed = tokenize_template(source);
    // Constructed empty, because the constructor runs what it compiled, and filled below.
    auto compiled = std::make_unique<common_chat_template>("", bos_token, eos_token);
    try {
        compiled->prog = jinja::parse_from_tokens(lexed);
    } catch (const std::exception & error) {
        throw TemplateError(std::string("the chat template does not parse: ") + error.what());
    }
    Guard().all(compiled->prog.body);
    compiled->src = std::move(lexed.source);
    compiled->caps = jinja::caps_get(compiled->prog);
    return compiled;
}

}  // namespace shimmy
