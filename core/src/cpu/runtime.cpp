#include "cyxwiz/runtime.h"

#include "cpu/isa.h"
#include "cpu/onednn.h"
#include "cpu/threads.h"

namespace cyxwiz {

int num_threads() { return cpu::num_threads(); }
void set_num_threads(int n) { cpu::set_num_threads(n); }
std::string isa_name() { return cpu::name(cpu::isa()); }
std::string onednn_version() { return cpu::onednn_version(); }

}  // namespace cyxwiz
