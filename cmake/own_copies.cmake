# Places of llama.cpp that are compiled otherwise than they were written: each in a copy of its file, so that the sources,
# and the peers that are built from them, stay as they are.

# Replace texts, each of which occurs once, in a file of the vendored tree, for the targets below its folder that compile
# it: `pairs` names a list of old and new ones, with $<SEMICOLON> for ";". Where it reads otherwise it is compiled as it is, with a
# warning that says what that costs. The arguments behind are compile options.
function (replace_in file pairs cost)
    get_filename_component(folder "${LLAMA_CPP_DIR}/${file}" DIRECTORY)
    get_filename_component(name "${file}" NAME)
    set(copy "${CMAKE_CURRENT_BINARY_DIR}/own/${file}")
    set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS "${LLAMA_CPP_DIR}/${file}")
    file(READ "${LLAMA_CPP_DIR}/${file}" text)
    set(left "${${pairs}}")
    while (left)
        list(POP_FRONT left old new)
        string(REPLACE "$<SEMICOLON>" ";" old "${old}")
        string(REPLACE "$<SEMICOLON>" ";" new "${new}")
        string(FIND "${text}" "${old}" first)
        string(FIND "${text}" "${old}" last REVERSE)
        if (first EQUAL -1 OR NOT first EQUAL last)
            message(WARNING "${file} is not the one that cmake/own_copies.cmake knows: ${cost}")
            return()
        endif()
        string(REPLACE "${old}" "${new}" text "${text}")
    endwhile()
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

# Attention passes by what masked_cells.h says: a row from cell to cell, and 64 rows tile by tile.
if (NOT MSVC)
    set(row_mask "iq1*mask->nb[1] + (iq2%mask->ne[2])*mask->nb[2] + (iq3%mask->ne[3])*mask->nb[3]")
    set(masked_cells
        "ic = ic_start$<SEMICOLON> ic < ic_end$<SEMICOLON> ++ic) {"
        "ic = shimmy_next_cell(mp, ic_start, ic_end)$<SEMICOLON> ic < ic_end$<SEMICOLON> ic = shimmy_next_cell(mp, ic + 1, ic_end)) {"
        "// skip the tile entirely if all the masks are -inf"
        "if (mask && shimmy_all_masked((const char *)mask->data + ${row_mask}, mask->nb[1], tile_rows, ic, kv_tile)) { continue$<SEMICOLON> }")
    replace_in(ggml/src/ggml-cpu/ops.cpp masked_cells "attention asks the mask of every cell"
        -include "${PROJECT_SOURCE_DIR}/cmake/masked_cells.h")
endif()

# An exact reserve for each character that is no token copies all tokens before it: hours for 10 MB of emoji.
set(reserve "output.reserve(output.size() + symbol.n)" "(void) symbol.n")
replace_in(src/llama-vocab.cpp reserve
    "SentencePiece tokenizers take time that is quadratic in characters that are no token")
