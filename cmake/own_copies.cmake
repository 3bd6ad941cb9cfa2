# Places of llama.cpp that are compiled otherwise than they were written: each in a copy of its file, so that the sources,
# and the peers that are built from them, stay as they are.

# Replace texts, each of which occurs once, in a file of the vendored tree, for the targets below its folder that compile
# it: `pairs` names a list of old and new ones, with $<SEMICOLON> for ";". Where it reads otherwise it is compiled as it is, with a
# warning that says what that costs. A copy has the compile options of its file, and the arguments behind. <pairs>_replaced says
# whether there is one.
function (replace_in file pairs cost)
    set(${pairs}_replaced OFF PARENT_SCOPE)
    get_filename_component(folder "${LLAMA_CPP_DIR}/${file}" DIRECTORY)
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
    targets_below("${LLAMA_CPP_DIR}" "STATIC_LIBRARY|SHARED_LIBRARY|MODULE_LIBRARY|OBJECT_LIBRARY" targets)
    foreach (target IN LISTS targets)
        get_target_property(sources ${target} SOURCES)
        get_target_property(home ${target} SOURCE_DIR)
        string(FIND "${folder}/" "${home}/" below)
        file(RELATIVE_PATH source "${home}" "${LLAMA_CPP_DIR}/${file}")
        string(REPLACE "." "\\." pattern "(^|/)${source}$")
        set(own "${sources}")
        list(FILTER own EXCLUDE REGEX "${pattern}")
        if (below EQUAL 0 AND NOT own STREQUAL sources)
            set_target_properties(${target} PROPERTIES SOURCES "${own}")
            target_sources(${target} PRIVATE "${copy}")
            target_include_directories(${target} PRIVATE "${folder}")
            set_property(SOURCE "${copy}" DIRECTORY "${home}" PROPERTY GENERATED ON)
            get_property(options SOURCE "${LLAMA_CPP_DIR}/${file}" DIRECTORY "${home}" PROPERTY COMPILE_OPTIONS)
            set_property(SOURCE "${copy}" DIRECTORY "${home}" PROPERTY COMPILE_OPTIONS ${options} ${ARGN})
        endif()
    endforeach()
    set(${pairs}_replaced ON PARENT_SCOPE)
endfunction()

# Attention on CPUs: of few rows by row_attention.h, of 64 at a time with the faster parts of tile_attention.h; either passes
# by the cells that are masked (masked_cells.h).
if (NOT MSVC)
    set(row_mask "iq1*mask->nb[1] + (iq2%mask->ne[2])*mask->nb[2] + (iq3%mask->ne[3])*mask->nb[3]")
    set(keys "(const char *)k->data + ic*nbk1 + ik2*nbk2 + ik3*nbk3, nbk1, kv_tile, DK")
    set(attention
        "static void ggml_compute_forward_flash_attn_ext_f16_one_chunk(\n"
        "#include \"ggml/tile_attention.h\"\n\nstatic void ggml_compute_forward_flash_attn_ext_f16_one_chunk(\n"
        "static void ggml_compute_forward_flash_attn_ext_f16(\n"
        "#include \"ggml/row_attention.h\"\n\nstatic void ggml_compute_forward_flash_attn_ext_f16(\n"

        "const bool use_ref = params->use_ref$<SEMICOLON>"
        "const bool use_ref = params->use_ref$<SEMICOLON> if (shimmy::row_attention(params, dst)) { return$<SEMICOLON> }"

        "ic = ic_start$<SEMICOLON> ic < ic_end$<SEMICOLON> ++ic) {"
        "ic = shimmy_next_cell(mp, ic_start, ic_end)$<SEMICOLON> ic < ic_end$<SEMICOLON> ic = shimmy_next_cell(mp, ic + 1, ic_end)) {"
        "// skip the tile entirely if all the masks are -inf"
        "if (mask && shimmy_all_masked((const char *)mask->data + ${row_mask}, mask->nb[1], tile_rows, ic, kv_tile)) { continue$<SEMICOLON> }"

        "for (int tk = 0$<SEMICOLON> tk < kv_tile$<SEMICOLON> tk++) {\n                        mask32[tq * KV_TILE_SZ + tk] = slope"
        "can_skip = false$<SEMICOLON> for (int tk = shimmy::widen_mask(&mask32[tq * KV_TILE_SZ], &mp_row[ic], slope, kv_tile)$<SEMICOLON> tk < kv_tile$<SEMICOLON> tk++) {\n                        mask32[tq * KV_TILE_SZ + tk] = slope"
        "for (int tk = 0$<SEMICOLON> tk < kv_tile$<SEMICOLON> tk++) {\n                const char * k_data ="
        "for (int tk = kv_type == GGML_TYPE_F16 ? shimmy::turn_keys(K_f32, KV_TILE_SZ, ${keys}) : 0$<SEMICOLON> tk < kv_tile$<SEMICOLON> tk++) {\n                const char * k_data ="
        "ggml_vec_max_f32(KV_TILE_SZ, &tile_max, kq_row)"
        "tile_max = shimmy::highest(kq_row, KV_TILE_SZ)"
        "simd_gemm(KQ, (const float *)Q_q, K_f32, Q_TILE_SZ, DK, KV_TILE_SZ)$<SEMICOLON>"
        "if (!shimmy::add_tile_product(KQ, (const float *)Q_q, K_f32, Q_TILE_SZ, DK, KV_TILE_SZ)) { simd_gemm(KQ, (const float *)Q_q, K_f32, Q_TILE_SZ, DK, KV_TILE_SZ)$<SEMICOLON> }"
        "simd_gemm(VKQ32, KQ, V32, Q_TILE_SZ, KV_TILE_SZ, DV)$<SEMICOLON>"
        "if (!shimmy::add_tile_product(VKQ32, KQ, V32, Q_TILE_SZ, KV_TILE_SZ, DV)) { simd_gemm(VKQ32, KQ, V32, Q_TILE_SZ, KV_TILE_SZ, DV)$<SEMICOLON> }")
    list(APPEND attention
        "static void ggml_compute_forward_argmax_f32(\n"
        "#include \"ggml/token_choice.h\"\n\nstatic void ggml_compute_forward_argmax_f32(\n"
        "ggml_vec_argmax_f32(ne00, &v, src)$<SEMICOLON>"
        "if (dst->src[1]) { v = shimmy::chosen_token(src, ne00, (const float *) dst->src[1]->data + 2*i1)$<SEMICOLON> } else { ggml_vec_argmax_f32(ne00, &v, src)$<SEMICOLON> }")
    replace_in(ggml/src/ggml-cpu/ops.cpp attention "attention at depth and of several sequences is slower"
        -idirafter "${PROJECT_SOURCE_DIR}/csrc")
endif()

# Products with few rows by small_batch.h and, with AMX, those with many by tile_products.h: both read the layout of the file.
if (NOT MSVC)
    set(vec_dot_size "ggml_row_size(vec_dot_type, ggml_nelements(node->src[1]))$<SEMICOLON>\n                        }\n                        // Workspace for tiled")
    string(REPLACE "))$<SEMICOLON>" ")), cur = MAX(cur, MAX(shimmy_small_batch_size(node), shimmy_tile_product_size(node, n_tasks)))$<SEMICOLON>" enough_for_batches "${vec_dot_size}")
    set(small_batches
        "static void ggml_compute_forward_mul_mat_one_chunk(\n"
        "#include \"ggml/small_batch.h\"\n#include \"ggml/tile_products.h\"\n\nstatic void ggml_compute_forward_mul_mat_one_chunk(\n"
        "// If tiled is supported, it will execute the full op here and we return"
        "if (shimmy_small_batch(params, dst) || shimmy_tile_product(params, dst)) { return$<SEMICOLON> }"
        "${vec_dot_size}" "${enough_for_batches}")
    # Who computes a graph alone, as the host does what GPUs leave it of a token, wakes nobody.
    list(APPEND small_batches
        "    } else {\n       ggml_cond_broadcast(&threadpool->cond)$<SEMICOLON>"
        "    } else if (n_threads > 1) {\n       ggml_cond_broadcast(&threadpool->cond)$<SEMICOLON>")
    replace_in(ggml/src/ggml-cpu/ggml-cpu.c small_batches "a few rows at a time cost as much as apart"
        -idirafter "${PROJECT_SOURCE_DIR}/csrc")
    set(repacked
        "#include \"repack.h\"\n" "#include \"repack.h\"\n#include \"ggml/vnni.h\"\n"
        "if (ggml_cpu_has_avx2()) {\n            if (cur->ne[1] % 8 == 0) {\n                return &q4_K_8x8_q8_K"
        "if (ggml_cpu_has_avx2() && !SHIMMY_VNNI) {\n            if (cur->ne[1] % 8 == 0) {\n                return &q4_K_8x8_q8_K")
    replace_in(ggml/src/ggml-cpu/repack.cpp repacked "weights are kept in a layout that is slower"
        -idirafter "${PROJECT_SOURCE_DIR}/csrc")
    set(amx_layouts
        "#include \"traits.h\"\n" "#include \"traits.h\"\n#include \"ggml/amx.h\"\n"
        "if (op->ne[0] % (TILE_N * 2)) {" "if ((shimmy_has_tiles() && shimmy_multiplies(src0)) || op->ne[0] % (TILE_N * 2)) {")
    replace_in(ggml/src/ggml-cpu/amx/amx.cpp amx_layouts "weights are kept in a layout that is slower"
        -idirafter "${PROJECT_SOURCE_DIR}/csrc")
endif()

# The mask, for which each cell of the cache is asked once, and graphs for more cells than are in use where many are added
# in a step (kq_mask.h).
if (NOT MSVC)
    set(index "std::unordered_map<llama_seq_id, std::vector<uint32_t>> seq_idxs$<SEMICOLON>\n")
    set(masks
        "#include \"llama-kv-cache.h\"\n" "#include \"llama-kv-cache.h\"\n#include \"ggml/kq_mask.h\"\n#include \"ggml/step_cells.h\"\n"
        "    // move the head at the end of the slot\n"
        "    shimmy::cells_are_apart = sinfo.n_stream() == 1 && ubatch.n_seqs_unq > 3 && shimmy::mostly_apart(v_cells[sinfo.strm[0]], ubatch)$<SEMICOLON>\n\n    // move the head at the end of the slot\n"
        "${index}"
        "${index}        shimmy::NextRows next_rows$<SEMICOLON>
        if constexpr (!alibi) {
            shimmy::fill_first_rows(v_cells.at(seq_to_stream[ubatch->seq_id[s*n_tps][0]]), ubatch->pos, ubatch->seq_id,
                s*n_tps, (s + 1)*n_tps, n_kv, seq_pos_min, llama_pos(n_swa + 32), mask_keep, mask_drop,
                [&](llama_pos p0, llama_pos p1) { return swa && llama_hparams::is_masked_swa(n_swa, swa_type, p0, p1)$<SEMICOLON> },
                data, seq_srct, seq_idxs)$<SEMICOLON>
        }
"
        "const uint32_t n_pad_cur = std::max(n_pad, 256u)$<SEMICOLON>"
        "const uint32_t n_pad_cur = std::max(n_pad, shimmy::cells_at_once(sinfo.idxs.front().size(), v_cells[sinfo.strm[0]].used_max_p1(), shimmy::has_cuda(model)))$<SEMICOLON>"
        "std::copy(data + idst_prev, data + idst_prev + n_kv, data + idst)$<SEMICOLON>"
        "if constexpr (causal && !swa && !is_2d) {
                        if (srct != i && next_rows.fill(cells, ubatch->pos, srct, i, seq_id, idxs, n_kv, mask_keep, data)) {
                            continue$<SEMICOLON>
                        }
                    }
                    if (srct != i) { std::copy(data + idst_prev, data + idst_prev + n_kv, data + idst)$<SEMICOLON> }")
    replace_in(src/llama-kv-cache.cpp masks "steps of many requests in one pool of cells, and long prompts on GPUs, take longer"
        -idirafter "${PROJECT_SOURCE_DIR}/csrc")
endif()

# Graphs of small batches, several at a time (kept_graphs.h). What changes the memory of the context's own graphs gets its own
# scheduler back first.
if (NOT MSVC)
    set(leave "shimmy::leave_kept_graph(gf_res_reserve, sched, gf_res_prev, gf_res_prev_active)")
    set(graphs
        "#include \"llama-context.h\"\n" "#include \"llama-context.h\"\n#include \"ggml/kept_graphs.h\"\n"
        "    gf_res_reserve.reset(new llm_graph_result(max_nodes))$<SEMICOLON>"
        "    gf_res_reserve.reset(new shimmy::KeptGraphs(max_nodes))$<SEMICOLON>"

        "    const auto gparams = graph_params(res, ubatch, mctx, gtype)$<SEMICOLON>\n\n    if (!graph_reuse_disable && gf_res_prev_active == res && res->can_reuse(gparams)) {"
        "    auto & kept = shimmy::kept_graphs(gf_res_reserve)$<SEMICOLON>
    auto gparams = graph_params(res, ubatch, mctx, gtype)$<SEMICOLON>
    auto reusable = [&] { return !graph_reuse_disable && gf_res_prev_active == res && res->can_reuse(gparams)$<SEMICOLON> }$<SEMICOLON>
    bool reuse = reusable()$<SEMICOLON>
    if (!reuse && !graph_reuse_disable && model.n_devices() == 0) {
        const bool left = ${leave}$<SEMICOLON>
        res = get_gf_res_prev()$<SEMICOLON>
        if (kept.keeps(gparams, model.vocab.n_tokens())) {
            reuse = kept.enter(gparams, model.vocab.n_tokens(), sched, gf_res_prev, gf_res_prev_active, [&] {
                return ggml_backend_sched_new(backend_ptrs.data(), backend_buft.data(), backend_ptrs.size(),
                    gf_res_reserve->get_max_nodes(), false, cparams.op_offload)$<SEMICOLON>
            })$<SEMICOLON>
            res = get_gf_res_prev()$<SEMICOLON>
        } else {
            reuse = left && reusable()$<SEMICOLON>
        }
        gf = res->get_gf()$<SEMICOLON>
        gparams = graph_params(res, ubatch, mctx, gtype)$<SEMICOLON>
    }

    if (reuse) {"

        "        if (!ggml_backend_sched_alloc_graph(sched.get(), gf)) {\n            LLAMA_LOG_ERROR(\"%s: failed to allocate graph\\n\", __func__)$<SEMICOLON>"
        "        bool placed = ggml_backend_sched_alloc_graph(sched.get(), gf)$<SEMICOLON>
        if (!placed && ${leave}) {  // there is no memory but that of the context's own graphs
            kept.give_up()$<SEMICOLON>
            gf_res_prev_active = nullptr$<SEMICOLON>
            res = get_gf_res_prev()$<SEMICOLON>
            res->reset()$<SEMICOLON>
            ggml_backend_sched_reset(sched.get())$<SEMICOLON>
            ggml_backend_sched_set_eval_callback(sched.get(), cparams.cb_eval, cparams.cb_eval_user_data)$<SEMICOLON>
            gf = model.build_graph(graph_params(res, ubatch, mctx, gtype))$<SEMICOLON>
            placed = gf && ggml_backend_sched_alloc_graph(sched.get(), gf)$<SEMICOLON>
        }
        if (!placed) {
            LLAMA_LOG_ERROR(\"%s: failed to allocate graph\\n\", __func__)$<SEMICOLON>"

        "        res->set_inputs(&ubatch)$<SEMICOLON>\n\n        //LLAMA_LOG_INFO"
        "        shimmy_graph_memory = ggml_get_mem_buffer(res->get_ctx())$<SEMICOLON>\n        res->set_inputs(&ubatch)$<SEMICOLON>\n\n        //LLAMA_LOG_INFO"

        "        // reset the previous graph results to make sure that they won't be reused\n"
        "        ${leave}$<SEMICOLON>\n        // reset the previous graph results to make sure that they won't be reused\n"
        "    GGML_ASSERT(n_outputs >= 1)$<SEMICOLON>\n\n    if (n_tokens % n_seqs"
        "    GGML_ASSERT(n_outputs >= 1)$<SEMICOLON>\n    ${leave}$<SEMICOLON>\n\n    if (n_tokens % n_seqs"
        "    // when training, ggml_opt allocates extra buffers"
        "    ${leave}$<SEMICOLON>\n\n    // when training, ggml_opt allocates extra buffers"
        "            ret[buft].compute += ggml_backend_sched_get_buffer_size(sched.get(), backend)$<SEMICOLON>"
        "            ret[buft].compute += ggml_backend_sched_get_buffer_size(sched.get(), backend) + shimmy::kept_graphs(gf_res_reserve).buffer_size(backend)$<SEMICOLON>")
    replace_in(src/llama-context.cpp graphs "steps whose number of rows changes build a graph each"
        -idirafter "${PROJECT_SOURCE_DIR}/csrc")
endif()

# How many sequences the rows of an attention are of, where they have their cells in one pool and mostly apart: for
# cuda_pool_attention.cu.
if (NOT MSVC)
    set(attention_seqs
        "#include \"llama-graph.h\"\n" "#include \"llama-graph.h\"\n#include \"ggml/step_cells.h\"\n"
        "ggml_flash_attn_ext_set_n_kv_max(cur, static_cast<int32_t>(n_kv_max))$<SEMICOLON>"
        "ggml_flash_attn_ext_set_n_kv_max(cur, static_cast<int32_t>(n_kv_max))$<SEMICOLON>
        cur->op_params[5] = n_stream == 1 && shimmy::cells_are_apart ? static_cast<int32_t>(ubatch.n_seqs_unq) : 0$<SEMICOLON>")
    replace_in(src/llama-graph.cpp attention_seqs "attention of many sequences in one pool is slower on CUDA"
        -idirafter "${PROJECT_SOURCE_DIR}/csrc")
endif()

# An exact reserve for each character that is no token copies all tokens before it: hours for 10 MB of emoji.
set(reserve "output.reserve(output.size() + symbol.n)" "(void) symbol.n")
replace_in(src/llama-vocab.cpp reserve
    "SentencePiece tokenizers take time that is quadratic in characters that are no token")

# The device that split_mode tensor makes of several is named after a list that was moved away before: "Meta()".
set(meta_name "simple_devs(std::move(simple_devs)), get_split_state(get_split_state)"
              "simple_devs(simple_devs), get_split_state(get_split_state)")
replace_in(ggml/src/ggml-backend-meta.cpp meta_name "what split_mode tensor takes is told of no device")

# A GPU computes a graph while the next one gets its places (graph_overlap.h).
set(overlap
    "#include \"ggml-backend.h\"\n" "#include \"ggml-backend.h\"\n#include \"ggml/graph_overlap.h\"\n"
    "to avoid changing cur_copy\n        for (int i = 0$<SEMICOLON> i < sched->n_backends$<SEMICOLON> i++) {"
    "to avoid changing cur_copy\n        const bool waits = !shimmy::may_place_while_computing(*sched)$<SEMICOLON>\n        for (int i = 0$<SEMICOLON> waits && i < sched->n_backends$<SEMICOLON> i++) {")
replace_in(ggml/src/ggml-backend.cpp overlap "GPUs wait for the host between the micro-batches of a prompt"
    "-I${PROJECT_SOURCE_DIR}/csrc")

# Where CUDA has no memory for its pool, a kernel or a captured graph, the graph is computed without a capture or fails:
# llama_decode says so, and the engine fails the request. Else the process ends.
if (SHIMMY_CUDA)
    set(evaluate "ggml_cuda_graph_evaluate_and_capture(cuda_ctx, cgraph, use_cuda_graph, cuda_graph_update_required, graph_key)$<SEMICOLON>")
    set(cuda_memory
        "[[noreturn]]\nvoid ggml_cuda_error("
        "#include \"${PROJECT_SOURCE_DIR}/csrc/ggml/cuda_memory.h\"\n\n[[noreturn]]\nvoid ggml_cuda_error("

        "// abort with GGML_ABORT to get a stack trace"
        "shimmy::throw_if_no_memory(msg)$<SEMICOLON>"

        "    ${evaluate}\n\n    return GGML_STATUS_SUCCESS$<SEMICOLON>"
        "    if (shimmy::has_memory_for([&] { ${evaluate} })) {
        return GGML_STATUS_SUCCESS$<SEMICOLON>
    }
#ifdef USE_CUDA_GRAPH
    if (shimmy::end_capture(cuda_ctx->stream()) && ggml_cuda_lock_counter.fetch_sub(1, std::memory_order_relaxed) == 1) {
        ggml_cuda_lock_cv.notify_all()$<SEMICOLON>
    }
    if (use_cuda_graph) {
        graph->warmup_complete = false$<SEMICOLON>  // what was captured before is not of this graph
        use_cuda_graph = cuda_graph_update_required = false$<SEMICOLON>
        if (shimmy::has_memory_for([&] { ${evaluate} })) {
            return GGML_STATUS_SUCCESS$<SEMICOLON>
        }
    }
#endif
    return GGML_STATUS_ALLOC_FAILED$<SEMICOLON>")
    set(choice
        "static __global__ void argmax_f32("
        "#include \"${PROJECT_SOURCE_DIR}/csrc/ggml/cuda_token_choice.h\"\n\nstatic __global__ void argmax_f32("
        "    const int64_t num_blocks = nrows$<SEMICOLON>\n"
        "    if (dst->src[1]) {
        shimmy::choose_tokens(ctx, dst)$<SEMICOLON>
        return$<SEMICOLON>
    }

    const int64_t num_blocks = nrows$<SEMICOLON>\n")
    replace_in(ggml/src/ggml-cuda/argmax.cu choice "tokens are drawn on the host")
    if (choice_replaced)  # what BackendSampler asks for, to know whether arg-max has a second source here
        list(APPEND cuda_memory
            "    if (strcmp(name, \"ggml_backend_get_features\") == 0) {\n"
            "    if (strcmp(name, \"ggml_backend_get_features\") == 0 || strcmp(name, \"shimmy_token_choice\") == 0) {\n")
    endif()
    # What nodes of a graph share (cuda_graph_scope.h), and attention of many sequences in one pool (cuda_pool_attention.cu).
    set(with_ours "-I${PROJECT_SOURCE_DIR}/csrc")
    set(vector_rows
        "#include \"mmvq.cuh\"\n" "#include \"mmvq.cuh\"\n#include \"ggml/cuda_graph_scope.h\"\n"
        "    ggml_cuda_pool_alloc<char> src1_q8_1(ctx.pool(), ne13*ne12 * ne11*ne10_padded * sizeof(block_q8_1)/QK8_1)$<SEMICOLON>\n    {"
        "    shimmy::QuantisedRows src1_q8_1(ctx, src1, shimmy::QuantisedRows::vector_layout, ne13*ne12 * ne11*ne10_padded * sizeof(block_q8_1)/QK8_1)$<SEMICOLON>\n    if (!src1_q8_1.known) {")
    replace_in(ggml/src/ggml-cuda/mmvq.cu vector_rows "products with the same rows quantise them anew" ${with_ours})
    set(matrix_rows  # with the header of the sources, which quantize.cuh includes
        "#include \"mmq.cuh\"\n" "#include \"${LLAMA_CPP_DIR}/ggml/src/ggml-cuda/mmq.cuh\"\n#include \"ggml/cuda_graph_scope.h\"\n"
        "ggml_cuda_pool_alloc<char> src1_q8_1(ctx.pool(), nbytes_src1_q8_1)$<SEMICOLON>\n        ggml_cuda_pool_alloc<float>"
        "shimmy::QuantisedRows src1_q8_1(ctx, src1, use_native_fp4 ? shimmy::QuantisedRows::unshared : mmq_get_q8_1_ds_layout(src0->type), nbytes_src1_q8_1)$<SEMICOLON>\n        ggml_cuda_pool_alloc<float>"
        "quantize_mmq_q8_1_cuda(src1_d, nullptr, src1_q8_1.get(), src0->type, ne10, s11, s12, s13, ne10_padded,\n                                       ne11"
        "if (!src1_q8_1.known) quantize_mmq_q8_1_cuda(src1_d, nullptr, src1_q8_1.get(), src0->type, ne10, s11, s12, s13, ne10_padded,\n                                       ne11")
    replace_in(ggml/src/ggml-cuda/mmq.cu matrix_rows "products with the same rows quantise them anew" ${with_ours})
    set(partial_tiles
        "#include \"common.cuh\"\n" "#include \"common.cuh\"\n#include \"ggml/cuda_partial_tiles.h\"\n"
        "    CUDA_CHECK(cudaGetLastError())$<SEMICOLON>\n    mul_mat_q_stream_k_fixup<"
        "    CUDA_CHECK(cudaGetLastError())$<SEMICOLON>
    if (!args.ids_dst && shimmy::add_partial_tiles(args.dst, tmp_fixup.ptr, {static_cast<int>(block_nums_stream_k.x),
            static_cast<int>(blocks_per_ne00_fd.z), config.K_vram / ggml_cuda_type_traits<type>::qk, ntiles_dst,
            config.I, config.J, ntx, static_cast<int>(args.nchannels_y), static_cast<int>(args.nsamples_y),
            static_cast<int>(args.nrows_x), static_cast<int>(args.ncols_dst), args.nrows_dst, args.stride_channel_dst,
            args.stride_sample_dst}, stream)) {
        return$<SEMICOLON>
    }
    mul_mat_q_stream_k_fixup<")
    # Instances include our mmq.cuh, and with it the headers that do; all others the one that it was made of.
    set(beside_replaced ON)
    foreach (header mmq-load-tiles.cuh mmq-vec-dot.cuh)
        set(beside "#include \"mmq.cuh\"\n" "#include \"mmq.cuh\"\n")
        if (beside_replaced)
            replace_in(ggml/src/ggml-cuda/${header} beside "products of more than 8 rows are slower")
        endif()
    endforeach()
    if (beside_replaced)
        replace_in(ggml/src/ggml-cuda/mmq.cuh partial_tiles "products of more than 8 rows are slower")
    endif()
    if (partial_tiles_replaced)
        file(GLOB instances RELATIVE "${LLAMA_CPP_DIR}" "${LLAMA_CPP_DIR}/ggml/src/ggml-cuda/template-instances/mmq-instance-*.cu")
        foreach (instance IN LISTS instances)
            set(with_own_header "#include \"../mmq.cuh\"\n" "#include \"../mmq.cuh\"\n")
            replace_in("${instance}" with_own_header "products of more than 8 rows are slower" ${with_ours})
        endforeach()
    endif()
    list(APPEND cuda_memory
        "    bool graph_evaluated_or_captured = false$<SEMICOLON>\n"
        "    bool graph_evaluated_or_captured = false$<SEMICOLON>
    const shimmy::CudaGraphScope scope(*cuda_ctx, *cgraph, !use_cuda_graph || cuda_graph_update_required)$<SEMICOLON>\n"
        "#include \"ggml-cuda/mmvq.cuh\"\n" "#include \"ggml-cuda/mmvq.cuh\"\n#include \"ggml/cuda_graph_scope.h\"\n")
    set(pool_attention
        "#include \"fattn.cuh\"\n" "#include \"fattn.cuh\"\n#include \"ggml/cuda_pool_attention.h\"\n"
        "    ggml_cuda_set_device(ctx.device)$<SEMICOLON>\n    switch (ggml_cuda_get_best_fattn_kernel(ggml_cuda_get_device(), dst)) {"
        "    ggml_cuda_set_device(ctx.device)$<SEMICOLON>\n    if (shimmy::pool_attention(ctx, dst)) {
        return$<SEMICOLON>
    }
    switch (ggml_cuda_get_best_fattn_kernel(ggml_cuda_get_device(), dst)) {")
    replace_in(ggml/src/ggml-cuda/fattn.cu pool_attention "attention of many sequences in one pool is slower" ${with_ours})
    set(attention_source "${PROJECT_SOURCE_DIR}/csrc/ggml/cuda_pool_attention.cu")
    target_sources(ggml-cuda PRIVATE "${attention_source}")
    set_source_files_properties("${attention_source}" TARGET_DIRECTORY ggml-cuda PROPERTIES COMPILE_OPTIONS ${with_ours})
    replace_in(ggml/src/ggml-cuda/ggml-cuda.cu cuda_memory "a request for which CUDA has no memory ends the process" ${with_ours})
endif()
