#include "gguf/gguf_hparams.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "gguf/gguf_architecture.h"

namespace shimmy {
namespace {

constexpr uint32_t max_layers = 512;      // libllama's arrays
constexpr uint32_t max_experts = 1024;    // libllama's arrays
constexpr uint32_t max_width = 1u << 24;  // elements of any vector that a layer works on

class HparamsCheck {
  public:
    HparamsCheck(const GgufFile & file, const std::string & architecture)
        : file_(file),
          architecture_(architecture),
          prefix_(architecture + "."),
          rules_(architecture_rules(architecture)) {}

    void run() {
        check_sizes();
        check_experts();
        check_heads();
        check_rope();
        check_choices();
        check_epsilons();
        if (architecture_ == "dots3note") {
            check_dots3note();
        }
        check_positive();
    }

  private:
    static std::string text(int64_t value) { return std::to_string(value); }

    [[noreturn]] void fail(const std::string & name, const std::string & what) const {
        file_.fail(prefix_ + name, what + ": the file is damaged, convert or download it again");
    }

    uint32_t value_or(const std::string & name, uint32_t fallback) const {
        return file_.u32(prefix_ + name).value_or(fallback);
    }

    bool has(const std::string & name) const { return file_.find(prefix_ + name) != nullptr; }

    // One value per layer; a scalar counts for all of them. Empty when the key is missing.
    std::vector<int64_t> per_layer(const std::string & name) const {
        const auto * value = file_.find(prefix_ + name);
        if (value == nullptr || n_layers_ == 0) {
            return {};
        }
        if (value->type != GgufType::array) {
            return std::vector<int64_t>(n_layers_, *file_.u32(prefix_ + name));
        }
        if (value->element != GgufType::u32 && value->element != GgufType::i32 && value->element != GgufType::boolean) {
            fail(name, "is an array of " + gguf_type_name(value->element) + " and must be one of u32");
        }
        if (value->count != n_layers_) {
            fail(name, "has " + std::to_string(value->count) + " entries for " + text(n_layers_) + " layers");
        }
        return file_.integers(*value);
    }

    void check_sizes() {
        for (const char * name : {"embedding_length", "context_length", "block_count"}) {
            if (file_.u32(prefix_ + name) == 0u) {
                fail(name, "is 0 and must be at least 1");
            }
        }
        if (value_or("embedding_length", 1) > max_width) {
            fail("embedding_length", "is " + text(value_or("embedding_length", 1)) + ", wider than any model");
        }
        n_layers_ = value_or("block_count", 0);
        if (n_layers_ > max_layers) {
            fail("block_count", "is " + text(n_layers_) + " and can be 1 to " + text(max_layers));
        }
        if (has("block_count") && value_or("nextn_predict_layers", 0) > n_layers_) {
            fail("nextn_predict_layers", "is " + text(value_or("nextn_predict_layers", 0)) + ", more than the " +
                                             text(n_layers_) + " layers of block_count");
        }
        for (const char * name : {"feed_forward_length", "expert_feed_forward_length"}) {
            for (const auto width : per_layer(name)) {
                if (width < 0 || width > max_width) {
                    fail(name, "is " + text(width) + ", which no layer can have");
                }
            }
        }
    }

    void check_experts() const {
        const uint32_t n_experts = value_or("expert_count", 0);
        const auto used = per_layer("expert_used_count");
        const int64_t most = used.empty() ? 0 : *std::max_element(used.begin(), used.end());
        const bool is_dense_hunyuan = prefix_ == "hunyuan_vl." || prefix_ == "hunyuan-dense.";
        if (n_layers_ == 0 || (is_dense_hunyuan && n_experts <= 1)) {
            return;
        }
        if (n_experts > max_experts) {
            fail("expert_count", "is " + text(n_experts) + " and can be at most " + text(max_experts));
        }
        if (most > n_experts || std::any_of(used.begin(), used.end(), [](int64_t n) { return n < 0; })) {
            fail("expert_used_count", "is " + text(most) + " of " + text(n_experts) + " experts");
        }
        if (n_experts > 0 && most == 0) {
            fail("expert_used_count", "is 0 or missing although there are " + text(n_experts) + " experts");
        }
        const uint32_t n_groups = value_or("expert_group_count", 0);
        const uint32_t n_groups_used = value_or("expert_group_used_count", 0);
        if (n_groups > 0 && n_groups >= n_experts) {
            fail("expert_group_count", "is " + text(n_groups) + " for " + text(n_experts) + " experts");
        }
        if (n_groups > 1 && n_experts % n_groups != 0) {
            fail("expert_group_count", "is " + text(n_groups) + " and must divide the " + text(n_experts) + " experts");
        }
        if (n_groups > 1 && (n_groups_used == 0 || n_groups_used >= n_groups)) {
            fail("expert_group_used_count", "is " + text(n_groups_used) + " of " + text(n_groups) + " groups");
        }
    }

    void check_heads() {
        heads_ = per_layer("attention.head_count");
        kv_heads_ = per_layer("attention.head_count_kv");
        if (kv_heads_.empty()) {
            kv_heads_ = heads_;
        }
        if (n_layers_ > 0 && heads_.empty() && rules_.has(ArchitectureRules::needs_heads)) {
            fail("attention.head_count", "is missing");
        }
        const int64_t least = rules_.has(ArchitectureRules::needs_heads) ? 1 : 0;
        for (size_t i = 0; i < heads_.size(); i++) {
            for (const auto & [name, count] :
                 {std::pair{"attention.head_count", heads_[i]}, {"attention.head_count_kv", kv_heads_[i]}}) {
                if (count < least || count > max_width) {
                    fail(name, "is " + text(count) + " in layer " + text(static_cast<int64_t>(i)));
                }
            }
            if (heads_[i] > 0 && kv_heads_[i] > 0 && heads_[i] % kv_heads_[i] != 0) {
                fail("attention.head_count_kv",
                     "is " + text(kv_heads_[i]) + " and must divide the " + text(heads_[i]) + " heads");
            }
        }
        if (heads_.empty() || heads_[0] == 0) {
            return;
        }
        check_head_lengths();
        check_projections();
    }

    void check_head_lengths() {
        const auto width = static_cast<int64_t>(value_or("embedding_length", 0));
        const auto head_width = static_cast<uint32_t>(width / heads_[0]);
        key_length_ = value_or("attention.key_length", head_width);
        key_length_swa_ = value_or("attention.key_length_swa", key_length_);
        const uint32_t value_length = value_or("attention.value_length", head_width);
        const uint32_t value_length_swa = value_or("attention.value_length_swa", value_length);
        for (const char * name :
             {"attention.key_length", "attention.value_length", "attention.key_length_swa",
              "attention.value_length_swa", "attention.key_length_mla", "attention.value_length_mla"}) {
            if (value_or(name, 0) > max_width) {
                fail(name, "is " + text(value_or(name, 0)) + ", longer than any head");
            }
        }
        if (!rules_.has(ArchitectureRules::needs_heads)) {
            return;
        }
        if (!has("attention.key_length") && width % heads_[0] != 0) {
            fail("embedding_length",
                 "is " + text(width) + " and must be a multiple of the " + text(heads_[0]) + " heads");
        }
        if (key_length_ == 0 || key_length_swa_ == 0) {
            fail(key_length_ == 0 ? "attention.key_length" : "attention.key_length_swa", "is 0");
        }
        if (key_length_ != value_length) {
            fail("attention.value_length",
                 "is " + text(value_length) + " and must be the key length, " + text(key_length_));
        }
        if (key_length_swa_ != value_length_swa) {
            fail("attention.value_length_swa",
                 "is " + text(value_length_swa) + " and must be the key length, " + text(key_length_swa_));
        }
    }

    // The graph cuts what a projection gives into heads. Queries may come with a gate of their own size.
    void check_projections() const {
        if (!rules_.has(ArchitectureRules::needs_heads)) {
            return;
        }
        for (uint32_t i = 0; i < n_layers_; i++) {
            const auto layer = "blk." + text(i) + ".";
            check_projection(layer + "attn_q.weight", heads_[i], true);
            check_projection(layer + "attn_k.weight", kv_heads_[i], false);
            check_projection(layer + "attn_v.weight", kv_heads_[i], false);
        }
    }

    void check_projection(const std::string & name, int64_t n_heads, bool may_have_gate) const {
        const auto * tensor = file_.find_tensor(name);
        if (tensor == nullptr) {
            return;
        }
        const auto rows = static_cast<int64_t>(tensor->shape[1]);
        for (const int64_t length : {key_length_, key_length_swa_}) {
            if (rows == n_heads * length || (may_have_gate && rows == 2 * n_heads * length)) {
                return;
            }
        }
        file_.fail("tensor '" + name + "'", "has " + text(rows) + " rows for " + text(n_heads) + " heads of " +
                                                text(key_length_) +
                                                ": the file is damaged, convert or download it again");
    }

    void check_rope_length(const std::string & name, uint32_t rule, uint32_t key_length) const {
        const auto rotated = file_.u32(prefix_ + name);
        if (!rotated || key_length == 0 || !rules_.has(rule)) {
            return;
        }
        if (*rotated == 0 || *rotated % 2 != 0 || *rotated > key_length) {
            fail(name, "is " + text(*rotated) + " and must be even, at least 2 and at most the key length, " +
                           text(key_length));
        }
    }

    void check_rope() const {
        check_rope_length("rope.dimension_count", ArchitectureRules::rope, key_length_);
        check_rope_length("rope.dimension_count_swa", ArchitectureRules::swa_rope, key_length_swa_);
        if (rules_.has(ArchitectureRules::whole_head_rope)) {
            const auto rotated = file_.u32(prefix_ + "rope.dimension_count");
            if (rotated && key_length_ > 0 && *rotated != key_length_) {
                fail("rope.dimension_count",
                     "is " + text(*rotated) + " and must be the key length, " + text(key_length_));
            }
        }
        if (const auto type = file_.string(prefix_ + "rope.scaling.type")) {
            constexpr std::array<std::string_view, 4> types = {"none", "linear", "yarn", "longrope"};
            if (std::find(types.begin(), types.end(), *type) == types.end()) {
                file_.fail(prefix_ + "rope.scaling.type", "is '" + type->substr(0, 80) +
                                                              "' and can be none, linear, yarn or longrope: "
                                                              "convert the model again or update shimmy");
            }
        }
        check_rope_sections();
    }

    void check_rope_sections() const {
        const char * name = "rope.dimension_sections";
        const auto * sections = file_.find(prefix_ + name);
        if (sections == nullptr || sections->type != GgufType::array) {
            return;
        }
        int64_t sum = 0;
        for (const auto size : file_.integers(*sections)) {
            if (size < 0 || size > max_width) {
                fail(name, "has a section of " + text(size) + ", which no head can have");
            }
            sum += size;
        }
        if (key_length_ > 0 && sum > key_length_) {
            fail(name, "add up to " + text(sum) + ", more than the key length, " + text(key_length_));
        }
        if (sum == 0 && architecture_ == "qwen2vl") {
            fail(name, "are all 0");
        }
    }

    void check_choices() const {
        if (const auto pooling = file_.u32(prefix_ + "pooling_type");
            pooling && *pooling > 4 && *pooling != UINT32_MAX) {
            fail("pooling_type", "is " + text(*pooling) + " and can be 0 to 4");
        }
        if (const auto gating = file_.u32(prefix_ + "expert_gating_func"); gating && *gating > 4) {
            fail("expert_gating_func", "is " + text(*gating) + " and can be 0 to 4");
        }
        const auto indexers = per_layer("attention.indexer.types");
        const bool shares_indexers = prefix_ == "glm-dsa." || prefix_ == "glm5-next." || prefix_ == "hy_v4.";
        if (shares_indexers && !indexers.empty() && indexers[0] == 0) {
            fail("attention.indexer.types", "says that layer 0 shares an indexer and there is none before it");
        }
    }

    // Layers of dots3note attend through an indexer of their own unless they have a sliding window.
    void check_dots3note() const {
        const auto flags = [&](const std::string & name) {
            const auto * value = file_.find(prefix_ + name);
            auto set = value == nullptr ? std::vector<int64_t>() : file_.integers(*value);
            set.resize(max_layers);
            return set;
        };
        const auto windows = flags("attention.sliding_window_pattern");
        const auto indexers = flags("attention.indexer.types");
        for (uint32_t i = 0; i + value_or("nextn_predict_layers", 0) < n_layers_; i++) {
            if (windows[i] == 0 && indexers[i] == 0) {
                fail("attention.indexer.types", "gives layer " + text(i) + " neither an indexer nor a sliding window");
            }
        }
    }

    void check_epsilons() const {
        for (const char * name :
             {"attention.layer_norm_epsilon", "attention.layer_norm_rms_epsilon", "attention.group_norm_epsilon"}) {
            if (const auto epsilon = file_.f32(prefix_ + name);
                epsilon && !(*epsilon >= 0 && std::isfinite(*epsilon))) {
                fail(name, "is " + std::to_string(*epsilon) + " and must be a small positive number");
            }
        }
    }

    void check_positive() const {
        for (const auto key : positive_keys(architecture_)) {
            const std::string name(key);
            if (n_layers_ > 0 && value_or(name, 0) == 0) {
                fail(name, has(name) ? "is 0 and must be at least 1" : "is missing");
            }
        }
        if (file_.u32(prefix_ + "full_attention_interval") == 0u && full_attention_every_.count(architecture_) > 0) {
            fail("full_attention_interval", "is 0 and must be at least 1");
        }
    }

    // Architectures that divide by the interval; their default is not 0.
    const std::set<std::string> full_attention_every_ = {"minimax-01", "qwen35", "qwen35moe", "qwen3next", "qwen4exp"};

    const GgufFile & file_;
    std::string architecture_;
    std::string prefix_;
    ArchitectureRules rules_;
    uint32_t n_layers_ = 0;
    std::vector<int64_t> heads_;     // per layer
    std::vector<int64_t> kv_heads_;  // per layer
    uint32_t key_length_ = 0;
    uint32_t key_length_swa_ = 0;
};

}  // namespace

void check_hparams(const GgufFile & file, const std::string & architecture) {
    HparamsCheck(file, architecture).run();
}

}  // namespace shimmy
