#include <nanobind/stl/string_view.h>
#include <nanobind/stl/vector.h>

#include <algorithm>
#include <cctype>

#include "convert.h"
#include "cyxwiz/ops.h"
#include "cyxwiz/runtime.h"

using cyxwiz::Device;

std::string kind_of(const Device& device) {
  std::string kind = device.kind;
  std::transform(kind.begin(), kind.end(), kind.begin(),
                 [](unsigned char c) { return static_cast<char>(std::toupper(c)); });
  return kind;
}

const Device* to_device(nb::handle object) {
  if (nb::isinstance<Device>(object)) return &nb::cast<const Device&>(object);
  return nb::cast<const Device*>(
      nb::module_::import_("pycyxwiz.devices").attr("get_device")(object));
}

void bind_devices(nb::module_& m) {
  nb::class_<Device>(m, "Device", "A place that computes. Calling it gives its kind: \"CPU\".")
      .def_ro("name", &Device::name, "The hardware's own name.")
      .def_ro("kind", &Device::kind, "\"cpu\", \"cuda\", …")
      .def_ro("index", &Device::index)
      .def_prop_ro(
          "backend", [](const Device& d) { return std::string(d.backend->name()); },
          "What runs Programs there: \"cpu\", \"xla\", …")
      .def_ro("memory_bytes", &Device::memory_bytes, "The memory it has, in bytes.")
      .def_prop_ro(
          "memory_gb", [](const Device& d) { return static_cast<double>(d.memory_bytes) / 1e9; },
          "The memory it has, in units of 10⁹ bytes.")
      .def("__call__", &kind_of)
      .def("__str__", &Device::spec)
      .def("__repr__", [](const Device& d) { return "<Device " + d.spec() + ": " + d.name + ">"; })
      .def(
          "__eq__",
          [](const Device& d, nb::handle other) {
            if (nb::isinstance<Device>(other)) return &d == &nb::cast<const Device&>(other);
            return nb::isinstance<nb::str>(other) && d.spec() == nb::cast<std::string>(other);
          },
          "other"_a.none(), nb::sig("def __eq__(self, other: object, /) -> bool"))
      .def("__hash__", [](const Device& d) { return nb::hash(nb::str(d.spec().c_str())); });
  m.def("devices", &cyxwiz::devices, nb::rv_policy::reference, "Every device there is.");
  m.def("default_device", &cyxwiz::default_device, nb::rv_policy::reference,
        "Where this thread's new tensors go.");
  m.def("set_default_device", &cyxwiz::set_default_device, "device"_a,
        "Chooses where the process's new tensors go.");
  m.def("thread_device", &cyxwiz::thread_device, nb::rv_policy::reference,
        nb::sig("def thread_device() -> Device | None"),
        "Where this thread's new tensors go, where it has a choice of its own.");
  m.def("set_thread_device", &cyxwiz::set_thread_device, "device"_a.none(),
        nb::sig("def set_thread_device(device: Device | None) -> None"),
        "Chooses where this thread's new tensors go; None: where the process's do.");
  m.def("find_device", &cyxwiz::find_device, "name"_a, "backend"_a = "", nb::rv_policy::reference,
        "The registered device of that name. Raises DeviceError, with those that there are.");
  m.def("num_threads", &cyxwiz::num_threads,
        "How many threads compute.\n\n"
        ">>> cx.get_num_threads() >= 1\nTrue");
  m.def("set_num_threads", &cyxwiz::set_num_threads, "n"_a,
        "Computes on n threads. Results don't depend on it. Raises ValueError unless 1 <= n <= "
        "1024.\n\n>>> cx.set_num_threads(cx.get_num_threads())");
  m.def(
      "set_matmul_precision",
      [](std::string_view name) {
        cyxwiz::set_matmul_precision(cyxwiz::precision_from_name(name));
      },
      "precision"_a,
      "What products of float32 tensors are computed in, from now on and on every thread:\n"
      "\"float32\" (at the start; also \"highest\", \"high\"), or \"bfloat16\" (also \"medium\"): "
      "operands\nmay be rounded to 8 significant bits where the processor multiplies those faster; "
      "sums\nstay float32. Derivatives are computed as the product was. Raises ValueError for "
      "other "
      "names.\n\n>>> cx.set_matmul_precision(\"float32\")");
  m.def(
      "get_matmul_precision", [] { return cyxwiz::name(cyxwiz::matmul_precision()); },
      "\"float32\" or \"bfloat16\".\n\n>>> cx.get_matmul_precision()\n'float32'");
  m.def("isa", &cyxwiz::isa_name,
        "The instruction set in use: baseline, avx2 or avx512.\n\n"
        ">>> cx.isa() in (\"baseline\", \"avx2\", \"avx512\")\nTrue");
  m.def("onednn_version", &cyxwiz::onednn_version,
        "The version of oneDNN, as in \"3.2.0\".\n\n>>> cx.onednn_version() >= \"3\"\nTrue");
  m.def(
      "memory_stats",
      [](const Device* device) {
        const Device& d = device ? *device : *cyxwiz::default_device();
        const cyxwiz::MemoryStats stats = d.backend->memory(d);
        nb::dict result;
        result["free"] = stats.free;
        result["allocated"] = stats.allocated;
        result["cached"] = stats.cached;
        result["peak"] = stats.peak;
        return result;
      },
      "device"_a = nb::none(),
      nb::sig("def memory_stats(device: Device | None = None) -> dict[str, int]"),
      "Bytes in tensors, bytes kept for reuse, the most that was in tensors at one time, and what "
      "is free.");
  m.def(
      "synchronize",
      [](const Device* device) {
        const Device& d = device ? *device : *cyxwiz::default_device();
        const GilRelease release;
        d.backend->synchronize(d);
      },
      "device"_a = nb::none(), nb::sig("def synchronize(device: Device | None = None) -> None"),
      "Waits until the device has done what it was given.");
  m.def(
      "empty_cache",
      [](const Device* device) {
        const Device& d = device ? *device : *cyxwiz::default_device();
        d.backend->release_cached(d);
      },
      "device"_a = nb::none(), nb::sig("def empty_cache(device: Device | None = None) -> None"),
      "Gives memory that is kept for reuse back to the system.");
}
