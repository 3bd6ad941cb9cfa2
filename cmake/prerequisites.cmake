# What the chosen backends need of this machine, looked for before anything is fetched or compiled: one error that names
# all that is missing, and how to get it.

set(missing)

# Note that `what` is missing. `how` says what to install.
function (note_missing option what how)
    set(missing ${missing} "${option}=ON needs ${what}.\n    ${how}" PARENT_SCOPE)
endfunction()

if (SHIMMY_CUDA)
    find_package(CUDAToolkit QUIET)
    file(GLOB gpus /dev/nvidia[0-9]* /dev/dxg)
    if (NOT CUDAToolkit_FOUND OR NOT CUDAToolkit_NVCC_EXECUTABLE)
        note_missing(SHIMMY_CUDA "the CUDA toolkit, 11.8 or newer, with its compiler nvcc"
                     "Install NVIDIA's package cuda-toolkit. If it is there: put nvcc on PATH, or -DCUDAToolkit_ROOT=FOLDER.")
    elseif (CUDAToolkit_VERSION VERSION_LESS 11.8)
        note_missing(SHIMMY_CUDA "CUDA 11.8 or newer; ${CUDAToolkit_VERSION} was found in ${CUDAToolkit_BIN_DIR}"
                     "Install a newer cuda-toolkit, and name it with -DCUDAToolkit_ROOT=FOLDER.")
    elseif (SHIMMY_NATIVE AND UNIX AND NOT SHIMMY_CUDA_ARCHITECTURES AND NOT DEFINED CMAKE_CUDA_ARCHITECTURES
            AND NOT gpus)
        note_missing(SHIMMY_CUDA "to know for which GPUs: this machine has none to ask"
                     "Name them: -DSHIMMY_CUDA_ARCHITECTURES=90 for H100 and H200, for example, or SHIMMY_NATIVE=OFF for all usual ones.")
    elseif (NOT CMAKE_CUDA_COMPILER AND NOT DEFINED ENV{CUDACXX})
        set(CMAKE_CUDA_COMPILER "${CUDAToolkit_NVCC_EXECUTABLE}") # which need not be on PATH
    endif()
endif()

if (SHIMMY_HIP)
    set(rocm "$ENV{ROCM_PATH}")
    if (NOT rocm)
        set(rocm /opt/rocm)
    endif()
    foreach (package hip hipblas rocblas)
        find_package(${package} CONFIG QUIET PATHS "${rocm}" "${rocm}/lib64/cmake")
        if (NOT ${package}_FOUND)
            note_missing(SHIMMY_HIP "${package} of ROCm 6.1 or newer"
                         "Install AMD's packages rocm-hip-sdk and ${package}-dev. If ROCm is there: set ROCM_PATH to its folder.")
        endif()
    endforeach()
    if (hip_FOUND AND hip_VERSION VERSION_LESS 6.1)
        note_missing(SHIMMY_HIP "ROCm 6.1 or newer; ${hip_VERSION} was found in ${hip_DIR}" "Install a newer ROCm.")
    endif()
    if (hip_FOUND AND NOT SHIMMY_HIP_ARCHITECTURES AND NOT DEFINED CMAKE_HIP_ARCHITECTURES AND NOT DEFINED GPU_TARGETS
        AND UNIX AND NOT EXISTS /dev/kfd)
        note_missing(SHIMMY_HIP "to know for which GPUs: this machine has none to ask"
                     "Name them: -DSHIMMY_HIP_ARCHITECTURES=gfx1100 for a Radeon RX 7900, for example.")
    endif()
endif()

if (SHIMMY_VULKAN)
    find_package(Vulkan COMPONENTS glslc QUIET)
    if (NOT Vulkan_INCLUDE_DIR)
        note_missing(SHIMMY_VULKAN "Vulkan's headers (vulkan/vulkan.hpp)"
                     "Debian, Ubuntu: apt install libvulkan-dev. Fedora: dnf install vulkan-headers. Or set VULKAN_SDK.")
    endif()
    if (NOT Vulkan_LIBRARY)
        note_missing(SHIMMY_VULKAN "Vulkan's loader (libvulkan)"
                     "Debian, Ubuntu: apt install libvulkan-dev. Fedora: dnf install vulkan-loader-devel. Or set VULKAN_SDK.")
    endif()
    if (NOT Vulkan_GLSLC_EXECUTABLE)
        note_missing(SHIMMY_VULKAN "glslc, the compiler of shaders"
                     "Debian, Ubuntu 24.04: apt install glslc. Fedora: dnf install glslc. Or set VULKAN_SDK.")
    endif()
    find_package(SPIRV-Headers CONFIG QUIET)
    if (NOT SPIRV-Headers_FOUND)
        note_missing(SHIMMY_VULKAN "SPIR-V's headers"
                     "Debian, Ubuntu: apt install spirv-headers. Fedora: dnf install spirv-headers-devel.")
    endif()
endif()

if (SHIMMY_OPENCL)
    find_package(OpenCL QUIET)
    if (NOT OpenCL_INCLUDE_DIR)
        note_missing(SHIMMY_OPENCL "OpenCL's headers (CL/cl.h)"
                     "Debian, Ubuntu: apt install opencl-headers. Fedora: dnf install opencl-headers.")
    endif()
    if (NOT OpenCL_LIBRARY)
        note_missing(SHIMMY_OPENCL "OpenCL's loader (libOpenCL)"
                     "Debian, Ubuntu: apt install ocl-icd-opencl-dev. Fedora: dnf install ocl-icd-devel.")
    endif()
endif()

if (SHIMMY_METAL AND NOT APPLE)
    note_missing(SHIMMY_METAL "macOS" "Leave it out, and choose another backend here.")
endif()

if (SHIMMY_BLAS)
    set(BLA_VENDOR "${GGML_BLAS_VENDOR}")
    find_package(BLAS QUIET)
    if (NOT BLAS_FOUND)
        note_missing(SHIMMY_BLAS "a BLAS library"
                     "Debian, Ubuntu: apt install libopenblas-dev. Fedora: dnf install openblas-devel. GGML_BLAS_VENDOR chooses one.")
    endif()
    if (NOT APPLE AND NOT BLAS_INCLUDE_DIRS)
        find_package(PkgConfig QUIET)
        if (NOT PKG_CONFIG_FOUND)
            note_missing(SHIMMY_BLAS "pkg-config, to find cblas.h"
                         "Debian, Ubuntu: apt install pkg-config. Or -DBLAS_INCLUDE_DIRS=FOLDER.")
        endif()
    endif()
    unset(BLA_VENDOR)
endif()

if (missing)
    list(JOIN missing "\n  " text)
    message(FATAL_ERROR "This machine lacks what the chosen backends are built with.\n  ${text}\n"
                        "Then configure again. More about each: docs/building.md")
endif()

# The GPUs to compile for. Empty: those of this machine; in builds for other machines ggml's list of usual ones.
if (SHIMMY_CUDA_ARCHITECTURES)
    set(CMAKE_CUDA_ARCHITECTURES "${SHIMMY_CUDA_ARCHITECTURES}")
endif()
if (SHIMMY_HIP_ARCHITECTURES)
    set(CMAKE_HIP_ARCHITECTURES "${SHIMMY_HIP_ARCHITECTURES}")
endif()
