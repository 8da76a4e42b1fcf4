// What the CPU side of the library runs with: threads, instruction set, oneDNN.
#pragma once

#include <string>

namespace cyxwiz {

/// Threads that computations use: what set_num_threads said, else OMP_NUM_THREADS, else the CPUs
/// that this process may use. Results don't depend on it. In a forked child: 1.
int num_threads();
/// Throws ValueError unless 1 <= n <= 1024.
void set_num_threads(int n);

/// The instruction set in use: "baseline", "avx2" or "avx512".
std::string isa_name();

/// "3.2.0".
std::string onednn_version();

}  // namespace cyxwiz
