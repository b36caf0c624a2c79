/** The page's script and style sheet, which the build makes of page/ and puts in place of this name. */
declare module "#page" {
  const page: { readonly script: string; readonly style: string };
  export default page;
}
