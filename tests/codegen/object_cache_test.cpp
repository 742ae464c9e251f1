#include "codegen/object_cache.h"

#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "tests/codegen/engine_fixture.h"

namespace weld::codegen {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kText = "|v: vec[i64]| result(for(v, merger[i64,+], |b, i, x| merge(b, x * 7L)))";

class ObjectCacheTest : public testing::Test {
 protected:
  ObjectCacheTest() {
    std::string pattern = (fs::temp_directory_path() / "weld-cache-XXXXXX").string();
    folder_ = mkdtemp(pattern.data());
    cache_ = folder_ + "/objects";
  }
  ~ObjectCacheTest() override { fs::remove_all(folder_); }

  // Compiles as a new process would, runs, and says how many milliseconds LLVM took.
  void compile_and_run() {
    clear_compile_cache();
    const auto program = compile(kText, {.cache_dir = cache_});
    EXPECT_FALSE(program->interpreted());
    const std::vector<std::int64_t> v = counting(10);
    const I64Vector args(v);
    const auto result = program->run(make_context(), &args, {});
    ASSERT_TRUE(result);
    EXPECT_EQ(as_i64(*result), 315);
  }

  std::vector<fs::path> files() {
    std::vector<fs::path> found;
    if (fs::exists(cache_)) {
      for (const auto& entry : fs::directory_iterator(cache_)) found.push_back(entry.path());
    }
    return found;
  }

  static std::string read(const fs::path& path) {
    std::ifstream file(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), {}};
  }
  static void write(const fs::path& path, const std::string& content) {
    std::ofstream(path, std::ios::binary | std::ios::trunc) << content;
  }

  std::string folder_;
  std::string cache_;
};

TEST_F(ObjectCacheTest, AHitWritesNothing) {
  compile_and_run();
  ASSERT_EQ(files().size(), 1u);
  struct stat status{};
  ASSERT_EQ(stat(cache_.c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777, 0700u);
  const auto written = fs::last_write_time(files()[0]);
  const std::string content = read(files()[0]);
  compile_and_run();
  ASSERT_EQ(files().size(), 1u);
  EXPECT_EQ(fs::last_write_time(files()[0]), written);
  EXPECT_EQ(read(files()[0]), content);
}

// Several threads compile a large module in parts, which are one file.
TEST_F(ObjectCacheTest, PartsOfALargeModuleAreKeptTogether) {
  const std::vector<std::int64_t> v = counting(1000);
  const I64Vector args(v);
  std::vector<std::string> contents;
  std::vector<std::int64_t> results;
  for (const int threads : {1, 4}) {
    const std::string folder = cache_ + std::to_string(threads);
    for (int run = 0; run < 2; ++run) {  // compiled, then from the file
      clear_compile_cache();
      const auto program = compile(kEveryBuilder, {.num_threads = threads, .cache_dir = folder});
      const auto result = program->run(make_context(), &args, {.num_threads = 2});
      ASSERT_TRUE(result);
      results.push_back(as_i64(*result));
    }
    fs::directory_iterator written(folder);
    contents.push_back(read(written->path()));
    EXPECT_EQ(++written, fs::directory_iterator());
  }
  EXPECT_NE(contents[0], contents[1]);
  for (const std::int64_t result : results) EXPECT_EQ(result, results[0]);
}

TEST_F(ObjectCacheTest, DamagedFilesAreReplaced) {
  compile_and_run();
  const fs::path file = files()[0];
  const std::string content = read(file);
  std::string flipped = content;
  flipped[flipped.size() / 2] ^= 1;
  for (const std::string& damaged : {flipped, content.substr(0, content.size() - 1), content + "x",
                                     content.substr(0, 10), std::string(), std::string(4096, '\0')}) {
    write(file, damaged);
    compile_and_run();
    EXPECT_EQ(read(file), content);
  }
}

TEST_F(ObjectCacheTest, ForeignVersionsAreReplaced) {
  compile_and_run();
  const fs::path file = files()[0];
  const std::string content = read(file);
  std::string foreign = content;
  const std::size_t second_line = foreign.find('\n') + 1;
  foreign.insert(second_line, "another ");
  write(file, foreign);
  compile_and_run();
  EXPECT_EQ(read(file), content);
}

TEST_F(ObjectCacheTest, DirectoriesThatOthersMayUseAreNotUsed) {
  fs::create_directory(cache_);
  for (const mode_t mode : {0755u, 0777u, 0770u}) {
    ASSERT_EQ(chmod(cache_.c_str(), mode), 0);
    compile_and_run();
    EXPECT_TRUE(files().empty());
    EXPECT_FALSE(ObjectCache(cache_).is_usable());
  }
  ASSERT_EQ(chmod(cache_.c_str(), 0700), 0);
  compile_and_run();
  EXPECT_EQ(files().size(), 1u);
}

TEST_F(ObjectCacheTest, LinksAreNotFollowed) {
  compile_and_run();
  const fs::path file = files()[0];
  const fs::path elsewhere = folder_ + "/elsewhere";
  fs::rename(file, elsewhere);
  fs::create_symlink(elsewhere, file);
  EXPECT_TRUE(ObjectCache(cache_).is_usable());
  compile_and_run();
  EXPECT_FALSE(fs::is_symlink(file));
  fs::create_directory_symlink(cache_, folder_ + "/link");
  EXPECT_FALSE(ObjectCache(folder_ + "/link").is_usable());
}

TEST_F(ObjectCacheTest, UnwritableAndMissingPlacesAreNoErrors) {
  write(folder_ + "/file", "no directory");
  cache_ = folder_ + "/file";
  compile_and_run();
  cache_ = folder_ + "/file/objects";
  compile_and_run();
  cache_ = "/proc/none/objects";
  compile_and_run();
}

TEST_F(ObjectCacheTest, ParentsAreMade) {
  cache_ = folder_ + "/a/b/objects";
  compile_and_run();
  EXPECT_EQ(files().size(), 1u);
}

}  // namespace
}  // namespace weld::codegen
