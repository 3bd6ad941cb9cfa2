# SHIMMY_PORTABLE: ggml's backends as libraries that are opened at load. They lie beside the extension, or in the package
# of an add-on (SHIMMY_ADDON), from where csrc/llama/backend_library.cpp opens them.

targets_below("${LLAMA_CPP_DIR}" "SHARED_LIBRARY|MODULE_LIBRARY" SHIMMY_LIBRARIES)

# Libraries that others link have names of ours with the pin: a library of another llama.cpp in the process has another
# name, and an add-on of another pin does not find its own.
string(SUBSTRING "${SHIMMY_LLAMA_CPP_COMMIT}" 0 8 pin)
foreach (target IN LISTS SHIMMY_LIBRARIES)
    set_property(TARGET ${target} PROPERTY VERSION)
    set_property(TARGET ${target} PROPERTY SOVERSION)
    set_property(TARGET ${target} PROPERTY PUBLIC_HEADER)
    get_target_property(type ${target} TYPE)
    if (type STREQUAL "SHARED_LIBRARY")
        set_property(TARGET ${target} PROPERTY OUTPUT_NAME "shimmy-${target}-${pin}")
    endif()
endforeach()
set_target_properties(${SHIMMY_LIBRARIES} PROPERTIES INSTALL_RPATH "$ORIGIN" BUILD_WITH_INSTALL_RPATH ON)
install(TARGETS ${SHIMMY_LIBRARIES} LIBRARY DESTINATION shimmy COMPONENT python
        RUNTIME DESTINATION shimmy COMPONENT python)

if (SHIMMY_ADDON)
    set(package "shimmy_llm_${SHIMMY_ADDON}")
    set(SHIMMY_ADDON_LIBRARY "$<TARGET_FILE_NAME:ggml-${SHIMMY_ADDON}>")
    configure_file(cmake/addon/__init__.py.in "${CMAKE_CURRENT_BINARY_DIR}/addon/__init__.py.in" @ONLY)
    file(GENERATE OUTPUT "${CMAKE_CURRENT_BINARY_DIR}/addon/__init__.py"
         INPUT "${CMAKE_CURRENT_BINARY_DIR}/addon/__init__.py.in")
    # Resolved by the base package's libraries, which are in the process before it.
    set_target_properties(ggml-${SHIMMY_ADDON} PROPERTIES INSTALL_RPATH "")
    install(TARGETS ggml-${SHIMMY_ADDON} LIBRARY DESTINATION ${package} COMPONENT addon)
    install(FILES "${CMAKE_CURRENT_BINARY_DIR}/addon/__init__.py" DESTINATION ${package} COMPONENT addon)
endif()
