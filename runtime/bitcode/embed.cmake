# cmake -DBITCODE=leaves.bc -DOUTPUT=bitcode_module.cpp -P embed.cmake: a file as an array in C++.
file(READ ${BITCODE} hex HEX)
string(REGEX REPLACE "([0-9a-f][0-9a-f])" "0x\\1," bytes "${hex}")
string(REGEX REPLACE "(0x..,0x..,0x..,0x..,0x..,0x..,0x..,0x..,0x..,0x..,0x..,0x..,0x..,0x..,0x..,0x..,)" "    \\1\n"
       bytes "${bytes}")
file(WRITE ${OUTPUT} "#include \"runtime/bitcode.h\"

namespace weld::runtime {
namespace {

alignas(16) constexpr unsigned char kModule[] = {
${bytes}
};

}  // namespace

std::span<const char> bitcode_module() { return {reinterpret_cast<const char*>(kModule), sizeof kModule}; }

}  // namespace weld::runtime
")
