# llama.cpp from vendor/ (or SHIMMY_LLAMA_CPP_DIR) as static libraries: ggml, llama and the part of common that renders
# and parses chats. Nothing of it is installed, and none of its tools, tests, servers or network code is compiled.

set(SHIMMY_LLAMA_CPP_DIR "" CACHE PATH "llama.cpp checkout to build instead of the pinned sources")

if (SHIMMY_LLAMA_CPP_DIR)
    set(LLAMA_CPP_DIR "${SHIMMY_LLAMA_CPP_DIR}")
    if (NOT EXISTS "${LLAMA_CPP_DIR}/include/llama.h")
        message(FATAL_ERROR "SHIMMY_LLAMA_CPP_DIR=${LLAMA_CPP_DIR} is no llama.cpp checkout (include/llama.h is missing)")
    endif()
    # Which commit it is: fetch.py's stamp says so, or git does where the folder is a checkout and not a part of another.
    set(SHIMMY_LLAMA_CPP_COMMIT "unknown")
    if (EXISTS "${LLAMA_CPP_DIR}/.shimmy-pin")
        file(STRINGS "${LLAMA_CPP_DIR}/.shimmy-pin" pin LIMIT_COUNT 1)
        if (pin MATCHES " ([0-9a-f]+)$")
            set(SHIMMY_LLAMA_CPP_COMMIT "${CMAKE_MATCH_1}")
        endif()
        set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS "${LLAMA_CPP_DIR}/.shimmy-pin")
    elseif (EXISTS "${LLAMA_CPP_DIR}/.git")
        execute_process(COMMAND git -C "${LLAMA_CPP_DIR}" rev-parse HEAD OUTPUT_VARIABLE commit
                        OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET RESULT_VARIABLE failed)
        if (NOT failed)
            set(SHIMMY_LLAMA_CPP_COMMIT "${commit}")
        endif()
    endif()
else()
    set(LLAMA_CPP_DIR "${PROJECT_SOURCE_DIR}/vendor/llama.cpp")
    file(STRINGS "${PROJECT_SOURCE_DIR}/vendor/sources.lock" pin REGEX "llama.cpp commit: ")
    string(REGEX REPLACE ".*: " "" SHIMMY_LLAMA_CPP_COMMIT "${pin}")
    set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS "${PROJECT_SOURCE_DIR}/vendor/sources.lock")
    execute_process(COMMAND "${Python_EXECUTABLE}" "${PROJECT_SOURCE_DIR}/vendor/fetch.py" RESULT_VARIABLE failed)
    if (failed)
        message(FATAL_ERROR "the pinned llama.cpp sources are missing (see the message above)")
    endif()
endif()

# Backends: our option names map onto ggml's.
foreach (backend CUDA VULKAN OPENCL METAL HIP RPC BLAS)
    set(GGML_${backend} ${SHIMMY_${backend}} CACHE BOOL "" FORCE)
endforeach()
set(GGML_NATIVE ${SHIMMY_NATIVE} CACHE BOOL "" FORCE)
set(GGML_OPENMP ${SHIMMY_OPENMP} CACHE BOOL "" FORCE)
set(GGML_CCACHE OFF CACHE BOOL "" FORCE) # the launcher is set once, for everything, in the top-level file
set(GGML_CUDA_NCCL OFF CACHE BOOL "" FORCE)
set(GGML_METAL_EMBED_LIBRARY ON CACHE BOOL "" FORCE)

set(LLAMA_BUILD_COMMON OFF CACHE BOOL "" FORCE)
set(LLAMA_OPENSSL OFF CACHE BOOL "" FORCE)
set(LLAMA_ALL_WARNINGS OFF CACHE BOOL "" FORCE)
set(LLAMA_BUILD_COMMIT "${SHIMMY_LLAMA_CPP_COMMIT}")
set(LLAMA_BUILD_NUMBER 0)

if (SHIMMY_PORTABLE)
    set(GGML_RPC_RDMA OFF CACHE BOOL "" FORCE) # a library that few machines have
    set(BUILD_SHARED_LIBS ON)
    set(GGML_BACKEND_DL ON CACHE BOOL "" FORCE)
    set(GGML_CPU_ALL_VARIANTS ON CACHE BOOL "" FORCE)
else()
    set(BUILD_SHARED_LIBS OFF)
endif()
set(CMAKE_POSITION_INDEPENDENT_CODE ON)

# ggml would record the commit of the repository around it, and rebuild with each of ours.
set(GIT_EXE "" CACHE FILEPATH "" FORCE)
add_subdirectory("${LLAMA_CPP_DIR}" llama.cpp EXCLUDE_FROM_ALL SYSTEM)

# The targets of a directory and those below it that are of the given types.
function (targets_below folder types result)
    get_property(targets DIRECTORY "${folder}" PROPERTY BUILDSYSTEM_TARGETS)
    get_property(folders DIRECTORY "${folder}" PROPERTY SUBDIRECTORIES)
    set(found)
    foreach (target IN LISTS targets)
        get_target_property(type ${target} TYPE)
        if (type MATCHES "${types}")
            list(APPEND found ${target})
        endif()
    endforeach()
    foreach (inner IN LISTS folders)
        targets_below("${inner}" "${types}" more)
        list(APPEND found ${more})
    endforeach()
    set(${result} ${found} PARENT_SCOPE)
endfunction()

if (CMAKE_CXX_COMPILER_ID STREQUAL "GNU" AND CMAKE_CXX_COMPILER_VERSION VERSION_LESS 14)
    targets_below("${LLAMA_CPP_DIR}/ggml/src" "STATIC_LIBRARY|SHARED_LIBRARY|MODULE_LIBRARY|OBJECT_LIBRARY" targets)
    foreach (target IN LISTS targets)
        if (target MATCHES "^ggml-cpu")
            target_compile_options(${target} PRIVATE "SHELL:-include ${PROJECT_SOURCE_DIR}/csrc/ggml/amx_tile_guard.h")
        endif()
    endforeach()
endif()

if (NOT SHIMMY_OPENMP AND CMAKE_SYSTEM_NAME STREQUAL "Linux")
    set_property(SOURCE "${LLAMA_CPP_DIR}/ggml/src/ggml-cpu/ggml-cpu.c" DIRECTORY "${LLAMA_CPP_DIR}/ggml/src"
                 APPEND PROPERTY COMPILE_OPTIONS -include "${PROJECT_SOURCE_DIR}/csrc/ggml/spin_wait.h")
endif()

if (CMAKE_SYSTEM_NAME STREQUAL "Linux")
    set_property(SOURCE "${LLAMA_CPP_DIR}/ggml/src/ggml.c" DIRECTORY "${LLAMA_CPP_DIR}/ggml/src"
                 APPEND PROPERTY COMPILE_OPTIONS -include "${PROJECT_SOURCE_DIR}/csrc/ggml/huge_pages.h")
endif()

if (SHIMMY_VULKAN AND NOT MSVC)
    set_property(SOURCE "${LLAMA_CPP_DIR}/ggml/src/ggml-vulkan/ggml-vulkan.cpp"
                 DIRECTORY "${LLAMA_CPP_DIR}/ggml/src/ggml-vulkan"
                 APPEND PROPERTY COMPILE_OPTIONS -include "${PROJECT_SOURCE_DIR}/csrc/ggml/vulkan_layer_settings.h")
endif()

include(cmake/own_copies.cmake)

# The chat half of common: templates (jinja), dialects (parsers), incremental parsing (peg) and JSON schema. The few
# functions it needs from the other half, its log included, are in csrc/chat/common_symbols.cpp.
include("${LLAMA_CPP_DIR}/common/parsers/sources.cmake")
set(common_sources
    chat.cpp chat-auto-parser-generator.cpp chat-auto-parser-helpers.cpp chat-diff-analyzer.cpp chat-peg-parser.cpp
    peg-parser.cpp json.cpp json-schema.cpp json-schema-to-grammar.cpp trie.cpp unicode.cpp
    jinja/lexer.cpp jinja/parser.cpp jinja/runtime.cpp jinja/value.cpp jinja/string.cpp jinja/caps.cpp)
list(TRANSFORM common_sources PREPEND "${LLAMA_CPP_DIR}/common/")

add_library(shimmy-llama-chat STATIC EXCLUDE_FROM_ALL ${common_sources} ${LLAMA_CHAT_PARSERS_SOURCES})
target_include_directories(shimmy-llama-chat SYSTEM PUBLIC "${LLAMA_CPP_DIR}/common" "${LLAMA_CPP_DIR}/vendor")
target_compile_features(shimmy-llama-chat PUBLIC cxx_std_17)
target_compile_options(shimmy-llama-chat PRIVATE $<$<CXX_COMPILER_ID:GNU,Clang,AppleClang>:-w>)
target_link_libraries(shimmy-llama-chat PUBLIC llama)
