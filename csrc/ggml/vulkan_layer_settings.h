#pragma once
// Force-included into ggml-vulkan.cpp (see cmake/llama.cmake).
//
// ggml-vulkan needs VK_EXT_layer_settings, which headers before Vulkan 1.3.272 (Debian 12, Ubuntu 22.04) lack. These
// are its declarations as the Vulkan specification gives them, as far as ggml-vulkan uses them; newer headers have
// their own.
#include <vulkan/vulkan_core.h>

#if !defined(VK_EXT_layer_settings) && defined(__cplusplus)
#include <cstdint>
#include <vector>

namespace vk {

enum class LayerSettingTypeEXT : int32_t { eBool32 = 0 };

struct LayerSettingEXT {
    const char * layer_name;
    const char * setting_name;
    LayerSettingTypeEXT type;
    uint32_t value_count;
    const void * values;
};

struct LayerSettingsCreateInfoEXT {
    explicit LayerSettingsCreateInfoEXT(const std::vector<LayerSettingEXT> & list)
        : setting_count(static_cast<uint32_t>(list.size())), settings(list.data()) {}

    VkStructureType type =
        static_cast<VkStructureType>(1000496000);  // VK_STRUCTURE_TYPE_LAYER_SETTINGS_CREATE_INFO_EXT
    const void * next = nullptr;
    uint32_t setting_count;
    const LayerSettingEXT * settings;
};

}  // namespace vk
#endif
