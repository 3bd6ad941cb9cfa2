# Places of llama.cpp that are compiled otherwise than they were written: each in a copy of its file, so that the sources,
# and the peers that are built from them, stay as they are.

# Replace text that occurs once in a file of the vendored tree, for the targets below its folder that compile it. Where it
# reads otherwise it is compiled as it is, with a warning that says what that costs.
function (replace_in file old new cost)
    get_filename_component(folder "${LLAMA_CPP_DIR}/${file}" DIRECTORY)
    get_filename_component(name "${file}" NAME)
    set(copy "${CMAKE_CURRENT_BINARY_DIR}/own/${file}")
    set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS "${LLAMA_CPP_DIR}/${file}")
    file(READ "${LLAMA_CPP_DIR}/${file}" text)
    string(FIND "${text}" "${old}" first)
    string(FIND "${text}" "${old}" last REVERSE)
    if (first EQUAL -1 OR NOT first EQUAL last)
        message(WARNING "${file} is not the one that cmake/own_copies.cmake knows: ${cost}")
        return()
    endif()
    string(REPLACE "${old}" "${new}" text "${text}")
    file(CONFIGURE OUTPUT "${copy}" CONTENT "${text}" @ONLY NEWLINE_STYLE UNIX)
    string(REPLACE "." "\\." pattern "(^|/)${name}$")
    targets_below("${LLAMA_CPP_DIR}" "STATIC_LIBRARY|SHARED_LIBRARY|MODULE_LIBRARY|OBJECT_LIBRARY" targets)
    foreach (target IN LISTS targets)
        get_target_property(sources ${target} SOURCES)
        get_target_property(home ${target} SOURCE_DIR)
        string(FIND "${folder}/" "${home}/" below)
        set(own "${sources}")
        list(FILTER own EXCLUDE REGEX "${pattern}")
        if (below EQUAL 0 AND NOT own STREQUAL sources)
            set_target_properties(${target} PROPERTIES SOURCES "${own}")
            target_sources(${target} PRIVATE "${copy}")
            target_include_directories(${target} PRIVATE "${folder}")
            set_property(SOURCE "${copy}" DIRECTORY "${home}" PROPERTY GENERATED ON)
            set_property(SOURCE "${copy}" DIRECTORY "${home}" APPEND PROPERTY COMPILE_OPTIONS ${ARGN})
        endif()
    endforeach()
endfunction()

# Attention goes from cell to cell as masked_cells.h says.
if (NOT MSVC)
    replace_in(ggml/src/ggml-cpu/ops.cpp
        "for (int64_t ic = ic_start; ic < ic_end; ++ic) {"
        "for (int64_t ic = shimmy_next_cell(mp, ic_start, ic_end); ic < ic_end; ic = shimmy_next_cell(mp, ic + 1, ic_end)) {"
        "attention asks the mask of every cell" -include "${PROJECT_SOURCE_DIR}/cmake/masked_cells.h")
endif()

# An exact reserve for each character that is no token copies all tokens before it: hours for 10 MB of emoji.
replace_in(src/llama-vocab.cpp
    "output.reserve(output.size() + symbol.n);"
    ""
    "SentencePiece tokenizers take time that is quadratic in characters that are no token")
